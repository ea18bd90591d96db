use comanda_proto::{Money, views::ContactRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::{arrival::tests as arrivals, headers::tests::decoded},
    *,
};

pub(in super::super) fn mail(items: &[&str], name: &str, email: &str, locale: &str) -> Claimed {
    let items = items.iter().map(|name| Item { name: (*name).into(), quantity: 1, ..Default::default() }).collect();
    let order_id = Uuid::from_u128(9);
    let contact = ContactRow {
        order_id,
        tenant: "default".into(),
        number: 1042,
        customer_name: name.into(),
        email: email.into(),
        locale: locale.into(),
        content: Order { items, ..Default::default() }.encode_to_vec(),
        workflow: "delivery".into(),
        workflow_revision: 1,
        traceparent: None,
    };
    let (key, next_try_time) = (Key { order_id, version: 2, copy: 0 }, OffsetDateTime::UNIX_EPOCH);
    Claimed { key, status: "preparing".into(), attempts: 0, next_try_time, claim: None, is_too_old: false, contact }
}

pub(super) fn workflow() -> Workflow {
    let labels = [("es", "preparando"), ("en", "being prepared")].map(|(a, b)| (a.into(), b.into())).into();
    let status = WorkflowStatus { name: "preparing".into(), labels, ..Default::default() };
    Workflow { statuses: vec![status], ..Default::default() }
}

/// The same with the template that names the courier.
pub(super) fn courier_workflow() -> Workflow {
    let mut workflow = workflow();
    workflow.statuses[0].mail_template = "courier".into();
    workflow
}

pub(super) fn composer() -> Composer {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }
    let cli: Cli = clap::Parser::parse_from(["test"]);
    Composer::new(&cli.config, None).expect("valid templates")
}

fn text(mail: &Claimed) -> String {
    let letter = composer().compose(mail, &workflow(), None, SystemTime::UNIX_EPOCH).expect("composed");
    String::from_utf8(letter.bytes).expect("UTF-8")
}

/// The values of a header, as a reader sees them.
fn header(text: &str, name: &str) -> Vec<String> {
    let head = text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
    let values = head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.map(decoded).collect()
}

#[test]
fn a_mail_names_order_products_and_status() {
    let text = text(&mail(&["Mole", "Agua"], "Ana", "ana@example.com", "es-MX"));
    assert_eq!(header(&text, "Subject"), ["Pedido 1042 Producto: Mole +1"]);
    assert_eq!(header(&text, "From"), ["Comanda <pedidos@comanda.localhost>"]);
    assert_eq!(header(&text, "To"), ["Ana <ana@example.com>"]);
    assert_eq!(header(&text, "Date"), ["Thu, 01 Jan 1970 00:00:00 +0000"]);
    let id = "<00000000-0000-0000-0000-000000000009.2.0@comanda.localhost>";
    assert_eq!(header(&text, "Message-ID"), [id]);
    assert!(text.contains("multipart/alternative") && text.contains("Estado de tu pedido: preparando."));
}

#[test]
fn the_language_follows_the_customer_and_else_the_setting() {
    let english = text(&mail(&["Mole"], "", "ana@example.com", "en-GB"));
    assert_eq!(header(&english, "Subject"), ["Order 1042 Product: Mole"]);
    assert!(english.contains("being prepared"));
    assert_eq!(header(&text(&mail(&["X"], "", "a@b.mx", "de")), "Subject"), ["Pedido 1042 Producto: X"]);
}

#[test]
fn the_mails_of_an_order_are_one_thread_with_one_subject() {
    let (root, mut subjects) = ("<00000000-0000-0000-0000-000000000009.1.0@comanda.localhost>", Vec::new());
    for (version, copy) in [(1, 0), (2, 0), (1, 1), (4, 2)] {
        let mut mail = mail(&["Mole"], "Ana", "ana@example.com", "es");
        (mail.key.version, mail.key.copy) = (version, copy);
        let text = text(&mail);
        let refers = if (version, copy) == (1, 0) { vec![] } else { vec![root.to_owned()] };
        assert_eq!((header(&text, "In-Reply-To"), header(&text, "References")), (refers.clone(), refers));
        subjects.extend(header(&text, "Subject"));
    }
    subjects.dedup();
    assert_eq!(subjects.len(), 1);
}

#[test]
fn the_status_is_the_first_line() {
    let text = text(&mail(&["Mole"], "Ana", "ana@example.com", "es"));
    let (_, body) = text.split_once("text/plain").expect("a plain part");
    let first = body.split_once("\r\n\r\n").expect("a body").1.lines().next();
    assert_eq!(first, Some("Estado de tu pedido: preparando."));
}

#[test]
fn a_courier_is_named_with_the_pickup_as_it_is_now_and_only_where_the_template_says_so() {
    let mail = mail(&["Viaje"], "Ana", "ana@example.com", "en");
    let text = |workflow: &Workflow, courier: Option<&CourierRow>| {
        let letter = composer().compose(&mail, workflow, courier, arrivals::now()).expect("composed");
        String::from_utf8(letter.bytes).expect("UTF-8")
    };
    let soon = text(&courier_workflow(), Some(&arrivals::row(420)));
    let shown = [
        "With you is: Luz",
        "Vehicle: Corolla blanco",
        "Licence plate: ABCD-12",
        "Pickup: 10:42 PM UTC (in about 7 minutes)",
    ];
    for line in shown {
        assert!(soon.contains(line), "{line} in {soon}");
    }
    let passed = text(&courier_workflow(), Some(&arrivals::row(0)));
    assert!(passed.contains("With you is: Luz") && !passed.contains("Pickup"), "{passed}");
    for ordinary in [text(&courier_workflow(), None), text(&workflow(), Some(&arrivals::row(420)))] {
        assert!(ordinary.contains("being prepared") && !ordinary.contains("Luz"), "{ordinary}");
    }
}

#[test]
fn an_amount_has_the_decimals_of_its_currency() {
    for (currency_code, units, nanos, expected) in
        [("JPY", 900, 0, "900 JPY"), ("TND", 4, 250_000_000, "4.250 TND"), ("USD", 7, 0, "7.00 USD")]
    {
        let mut mail = mail(&["Te"], "Ana", "ana@example.com", "en");
        let total = Some(Money { currency_code: currency_code.into(), units, nanos });
        mail.contact.content = Order { total, ..Default::default() }.encode_to_vec();
        let text = text(&mail);
        assert_eq!(text.matches(&format!("Total: {expected}")).count(), 2, "{text}");
    }
}

#[test]
fn blanks_in_a_name_reach_the_reader() {
    let text = text(&mail(&["Café  con   piñón"], "José  Ñandú", "ana@example.com", "es"));
    assert_eq!(header(&text, "Subject"), ["Pedido 1042 Producto: Café  con   piñón"]);
    assert_eq!(header(&text, "To"), ["José  Ñandú <ana@example.com>"]);
}

#[test]
fn a_domain_of_another_script_is_sent_in_ascii_and_a_local_part_needs_smtputf8() {
    let letter = |email| {
        composer()
            .compose(&mail(&["X"], "Ana", email, "es"), &workflow(), None, SystemTime::UNIX_EPOCH)
            .expect("composed")
    };
    let domain = letter("ana@piñata.example");
    assert_eq!(
        (&*domain.to, domain.needs_smtputf8, domain.bytes.is_ascii()),
        ("ana@xn--piata-pta.example", false, true)
    );
    let local = letter("piñón@piñata.example");
    assert_eq!((&*local.to, local.needs_smtputf8), ("piñón@xn--piata-pta.example", true));
}

#[test]
fn nobody_can_write_a_header() {
    let evil = "Mole\r\nBcc: all@example.com\r\n\r\nHello";
    let text = text(&mail(&[evil], evil, "ana@example.com", "es"));
    assert_eq!(header(&text, "Bcc").len(), 0);
    for name in ["Subject", "To", "Content-Type"] {
        assert_eq!(header(&text, name).len(), 1, "{name}");
    }
}

#[test]
fn long_and_foreign_names_are_encoded_and_folded() {
    let long = "ñandú 🌮 ".repeat(32);
    let text = text(&mail(&[&long], &long, "ana@example.com", "es"));
    assert!(text.is_ascii());
    assert!(text.lines().all(|line| line.len() <= 998));
    assert!(text.contains("Subject: =?utf-8?b?"));
}

#[test]
fn an_address_that_no_mail_can_be_sent_to_is_an_error() {
    for email in ["ana@example.com> RCPT TO:<eve@example.com", "\"a..b\"@example.com", ""] {
        let composed = composer().compose(&mail(&["X"], "", email, "es"), &workflow(), None, SystemTime::UNIX_EPOCH);
        assert!(composed.is_err(), "{email}");
    }
}

#[test]
fn no_two_mails_have_one_file() {
    let mail = mail(&["X"], "", "ana@example.com", "es");
    assert_eq!(file(&mail), "1042-2-0-00000000-0000-0000-0000-000000000009.eml");
}

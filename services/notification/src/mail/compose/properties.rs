//! Whatever names customers and products have, a mail has the headers that we write, and one recipient.

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*};

use super::{
    super::{arrival::tests as arrivals, headers::tests::decoded},
    tests::{courier_workflow, mail, workflow},
    *,
};

static COMPOSER: LazyLock<Composer> = LazyLock::new(super::tests::composer);

/// The headers of every mail, each of which is there once.
const HEADERS: [&str; 13] = [
    "Auto-Submitted",
    "Content-Type",
    "Date",
    "From",
    "In-Reply-To",
    "MIME-Version",
    "Message-ID",
    "References",
    "Subject",
    "To",
    "X-Comanda-Order",
    "X-Comanda-Status",
    "X-Comanda-Version",
];
/// What others have tried.
const TRICKS: [&str; 16] = [
    "\r\nBcc: all@example.com",
    "\nBcc: all@example.com",
    "\rBcc: all@example.com",
    "\r\n\r\n<script>alert(1)</script>",
    "\0",
    "%0d%0aBcc: all@example.com",
    "\u{2028}Bcc: all@example.com",
    "\u{85}Bcc: all@example.com",
    "=?utf-8?q?=0D=0ABcc:_all@example.com?=",
    "=?utf-8?b?QmNjOiBhbGxAZXhhbXBsZS5jb20=?=",
    "\" <all@example.com>, \"",
    "ana@example.com, all@example.com",
    "\\",
    "(",
    "\r\n.\r\nMAIL FROM:<eve@example.com>\r\n",
    "\u{202e}",
];

fn name() -> impl Strategy<Value = String> {
    let trick = prop::sample::select(&TRICKS[..]).prop_map(str::to_owned);
    let part = prop_oneof![3 => trick, 2 => any::<String>(), 2 => "[a-z ]{0,20}", 1 => "[ñ🌮 =?_]{0,20}"];
    prop_oneof![9 => vec(part, 1..5).prop_map(|parts| parts.concat()), 1 => vec("[a-zñ\r\n ]{10}", 1000).prop_map(|parts| parts.concat())]
}

/// Headers as they are before a receiver decodes them: a line that begins with a space goes on.
fn headers(text: &str) -> Vec<(String, String)> {
    let (head, _) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", "\t");
    let split = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    unfolded.split("\r\n").map(|line| split(line).unwrap_or_else(|| panic!("no header: {line:?}"))).collect()
}

/// The addresses of a header, by what stands in angle brackets outside of quotes, or the whole where nothing does.
fn addresses(value: &str) -> Vec<String> {
    let (mut found, mut current, mut quoted, mut escaped) = (Vec::new(), None::<String>, false, false);
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '<' => current = Some(String::new()),
            '>' => found.extend(current.take()),
            ',' if current.is_none() => found.push(format!("a comma in {value:?}")),
            _ => current.iter_mut().for_each(|address| address.push(c)),
        }
    }
    if found.is_empty() { vec![value.to_owned()] } else { found }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nobody_writes_a_header_or_another_recipient(names in vec(name(), 0..3), customer in name(), status in name(), locale in "es|en") {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mail = Claimed { status, ..mail(&names, &customer, "ana@example.com", &locale) };
        let letter = COMPOSER.compose(&mail, &workflow(), None, SystemTime::UNIX_EPOCH).expect("composed");
        prop_assert_eq!(letter.to, "ana@example.com");
        let text = String::from_utf8(letter.bytes).expect("UTF-8");
        let headers = headers(&text);
        let mut found: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        found.sort_unstable();
        prop_assert_eq!(found, HEADERS);
        let value = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).expect("is there");
        prop_assert_eq!(addresses(value("To")), ["ana@example.com"]);
        let items: Vec<_> = names.iter().map(|name| Item { name: clean(name), ..Item::default() }).collect();
        let expected = subject(Locale::of_tag(&locale).expect("ours"), 1042, &items);
        prop_assert_eq!(decoded(value("Subject")), expected);
    }

    #[test]
    fn a_body_ends_where_we_end_it_and_holds_no_tag_of_others(name in name()) {
        let mail = mail(&[&name], &name, "ana@example.com", "en");
        let letter = COMPOSER.compose(&mail, &workflow(), None, SystemTime::UNIX_EPOCH).expect("composed");
        let text = String::from_utf8(letter.bytes).expect("UTF-8");
        prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "a line break that is none in a mail");
    }

    #[test]
    fn the_html_holds_no_tag_but_ours(name in name(), locale in prop::sample::select(&[Locale::Es, Locale::En][..])) {
        let tags = |name: &str| {
            let items = [Item { name: name.into(), quantity: 2, ..Item::default() }];
            let facts = Facts { number: 7, name, items: &items, total: None, status: name, courier: None, page: None };
            let (_, html) = COMPOSER.templates.render("status", locale, &facts).expect("rendered");
            html.matches(['<', '>', '"', '\'']).count()
        };
        prop_assert_eq!(tags(&format!("x{name}")), tags("x"));
    }

    #[test]
    fn a_courier_of_any_name_writes_no_header_and_no_tag(name in name(), other in name(), locale in prop::sample::select(&[Locale::Es, Locale::En][..])) {
        let row = CourierRow { name: name.clone(), vehicle: other.clone(), plate: name, ..arrivals::row(420) };
        let mail = mail(&["X"], "Ana", "ana@example.com", locale.code());
        let letter = COMPOSER.compose(&mail, &courier_workflow(), Some(&row), arrivals::now()).expect("composed");
        let text = String::from_utf8(letter.bytes).expect("UTF-8");
        let mut found: Vec<_> = headers(&text).into_iter().map(|(name, _)| name).collect();
        found.sort_unstable();
        prop_assert_eq!(found, HEADERS);
        let tags = |row: &CourierRow| {
            let courier = Some(arrival::courier(row, arrivals::now(), &TimeZone::UTC, locale));
            let facts = Facts { number: 7, name: "", items: &[], total: None, status: "s", courier, page: None };
            let (_, html) = COMPOSER.templates.render("courier", locale, &facts).expect("rendered");
            html.matches(['<', '>', '"', '\'']).count()
        };
        let plain = CourierRow { name: "x".into(), vehicle: "x".into(), plate: "x".into(), ..row.clone() };
        let named = CourierRow { name: format!("x{}", row.name), vehicle: format!("x{}", row.vehicle), plate: format!("x{}", row.plate), ..row };
        prop_assert_eq!(tags(&named), tags(&plain));
    }

    #[test]
    fn every_address_that_an_order_may_have_can_be_mailed(local in "[a-zñ0-9.!#$%&'*+/=?^_`{|}~-]{1,20}", domain in "[a-zñü例0-9.-]{1,20}") {
        let email = format!("{local}@{domain}");
        let letter = COMPOSER.compose(&mail(&["X"], "Ana", &email, "es"), &workflow(), None, SystemTime::UNIX_EPOCH);
        prop_assert_eq!(letter.is_ok(), MailAddress::parse(&email).is_ok(), "{}", email);
        if let Ok(letter) = letter {
            prop_assert!(letter.needs_smtputf8 || letter.bytes.is_ascii());
            prop_assert_eq!(letter.needs_smtputf8, !local.is_ascii());
            prop_assert!(!letter.to.contains(['<', '>', ' ', '\r', '\n']));
        }
    }

    #[test]
    fn an_order_that_could_be_placed_makes_lines_that_every_server_takes(name in "[a-zñ🌮 ]{0,256}|[a-z]{256}") {
        let letter = COMPOSER.compose(&mail(&[&name], &name, "ana@example.com", "es"), &workflow(), None, SystemTime::UNIX_EPOCH);
        let text = String::from_utf8(letter.expect("composed").bytes).expect("UTF-8");
        prop_assert!(text.split("\r\n").all(|line| line.len() <= 998));
    }
}

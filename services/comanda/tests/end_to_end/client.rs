//! The client's verbs, against one process that has every role.

use std::fs;

use comanda_kit::testing::eventually;
use serde_json::Value;

use crate::harness::{Ended, Forwarder, Role, World, email, free_address};

/// Moves by command alone.
const MANUAL: &str = r#"
name = "manual"
[[status]]
name = "open"
phase = "active"
[[status]]
name = "closed"
phase = "succeeded"
[[status]]
name = "void"
phase = "cancelled"
[[edge]]
from = ["open"]
to = "closed"
on = ["advance"]
[[edge]]
from = ["open"]
to = "void"
on = ["cancel"]
"#;
const ORDERS: &str = "SELECT count(*) FROM ordering.orders";

/// A server with every role, and a terminal.
struct Counter {
    world: World,
    server: Role,
    address: String,
}

impl Counter {
    async fn open() -> Self {
        let world = World::new().await;
        let (file, mails) = (world.file("manual.toml", MANUAL), world.mail_dir().display().to_string());
        let mut server = world.start(&["all", "--step-ms", "100", "--workflow-file", &file, "--mail-dir", &mails]);
        server.serves().await;
        let address = server.address().await.to_string();
        Self { world, server, address }
    }

    async fn run(&self, args: &[&str]) -> Ended {
        self.world.run(&[args, &["--addr", &self.address]].concat()).await
    }

    /// What a verb that succeeds prints, as one JSON value a line.
    async fn json(&self, args: &[&str]) -> Vec<Value> {
        let ended = self.run(&[args, &["--json"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// Fails unless a verb ends with this code and says each of these on standard error, and nothing on standard output.
    async fn fails(&self, args: &[&str], code: i32, texts: &[&str]) {
        let ended = self.run(args).await;
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(texts.iter().all(|text| ended.err.contains(text)), "{args:?}: {ended:?}");
        assert_eq!(ended.out, "", "{args:?}");
    }

    /// The number of a new order.
    async fn order(&self, workflow: &str) -> String {
        let customer = ["--email", &email("example.com"), "--workflow", workflow];
        let answer =
            self.json(&[&["order", "create", "--product", "Taco", "--price", "2.50"], &customer[..]].concat()).await;
        answer[0]["order"]["number"].as_str().expect("a number").to_owned()
    }

    async fn close(self) {
        self.world.stop([self.server]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_a_file_twice_creates_nothing_twice() {
    let counter = Counter::open().await;
    let file = counter.world.file("menu.csv", "product_name,price\nTaco,2.50\n\"Torta, large\",4\nTaco,2.50\n");
    let import = ["order", "import", &file, "--customer", "ana"];
    let first = counter.json(&import).await;
    assert_eq!(first.len(), 4, "a line for each row, and the counts: {first:?}");
    assert_eq!(first[3], serde_json::json!({"created": 3, "alreadyThere": 0, "failed": 0, "notSent": 0}));
    let again = counter.run(&import).await;
    assert_eq!((again.code, &*again.out), (Some(0), "created 0, already there 3, failed 0\n"), "{again:?}");
    assert_eq!(counter.world.count(ORDERS).await, 3);
    let other = counter.run(&[&import[..], &["--import-id", "tuesday"]].concat()).await;
    assert_eq!(&*other.out, "created 3, already there 0, failed 0\n");
    assert_eq!(counter.json(&["order", "list", "--customer", "ana"]).await.len(), 6);
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_bad_rows_is_refused_whole() {
    let counter = Counter::open().await;
    let file = counter.world.file("menu.csv", "product_name,price\nTaco,2.50\nTorta,dear\n,3\nAgua,1\nFlan\n");
    let problems = [
        "problems in the file: 3",
        "row 2, line 3: column price",
        "row 3, line 4: column product_name",
        "row 5, line 6: has 1 columns",
    ];
    counter.fails(&["order", "import", &file], 1, &problems).await;
    assert_eq!(counter.world.count(ORDERS).await, 0, "not even the good rows are sent");
    counter.fails(&["order", "import", "/nowhere.csv"], 1, &["cannot read \"/nowhere.csv\"", "No such file"]).await;
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_scripts_what_happened() {
    let counter = Counter::open().await;
    let order = ["order", "create", "--product", "Taco", "--price", "2.50"];
    counter.fails(&[&order[..], &["--email", "nowhere"]].concat(), 1, &["INVALID_ARGUMENT", "customer.email"]).await;
    counter.fails(&[&order[..], &["--workflow", "nothing"]].concat(), 1, &["workflow"]).await;
    counter.fails(&["order", "create"], 2, &["Usage"]).await;
    counter.fails(&["order", "get", "taco"], 2, &["neither an order's id"]).await;
    counter.fails(&["order", "get", "999"], 4, &["ORDER_NOT_FOUND"]).await;
    let unknown = "018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60";
    for verb in [&["order", "transitions"][..], &["order", "watch"], &["order", "cancel"], &["order", "advance"]] {
        counter.fails(&[verb, &[unknown]].concat(), 4, &["ORDER_NOT_FOUND"]).await;
    }
    counter.fails(&["mail", "list", unknown], 4, &["ORDER_NOT_FOUND"]).await;
    let closed = free_address().to_string();
    let ended = counter.world.run(&[&order[..], &["--addr", &closed]].concat()).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("cannot reach ordering"), "{ended:?}");
    assert_eq!(counter.run(&["healthcheck"]).await.code, Some(0));
    assert_eq!(counter.world.run(&["healthcheck", "--addr", &closed]).await.code, Some(1));
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_creates_one_order() {
    let counter = Counter::open().await;
    let id = "018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60";
    let order = ["order", "create", "--product", "Taco", "--price", "2.50", "--request-id", id];
    let first = counter.json(&order).await;
    let again = counter.json(&order).await;
    assert_eq!(first[0]["order"]["orderId"], again[0]["order"]["orderId"]);
    assert_eq!(again[0]["replayed"], true);
    let other = ["order", "create", "--product", "Torta", "--price", "2.50", "--request-id", id];
    counter.fails(&other, 1, &["IDEMPOTENCY_MISMATCH"]).await;
    assert_eq!(counter.world.count(ORDERS).await, 1);
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_of_one_order_ends_with_it() {
    let counter = Counter::open().await;
    let number = counter.order("delivery").await;
    let seen = counter.json(&["order", "watch", &number]).await;
    let steps: Vec<_> = seen.iter().filter_map(|line| line["transition"]["toStatus"].as_str()).collect();
    assert_eq!(steps, ["received", "preparing", "dispatched", "delivered"]);
    let text = counter.run(&["order", "watch", &number, "--after-version", "3"]).await;
    assert_eq!(text.code, Some(0));
    assert!(text.out.contains("dispatched -> delivered") && !text.out.contains("preparing"), "{text:?}");
    let history = counter.json(&["order", "transitions", &number]).await;
    assert_eq!(history.last().expect("a step")["version"], "4");
    assert_eq!(counter.json(&["order", "get", &number]).await[0]["status"], "delivered");
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_moves_no_more() {
    let counter = Counter::open().await;
    let number = counter.order("manual").await;
    let cancelled = counter.json(&["order", "cancel", &number, "--reason", "-no hunger"]).await;
    assert_eq!(cancelled[0]["transition"]["toStatus"], "void");
    counter.fails(&["order", "advance", &number], 1, &["FAILED_PRECONDITION", "ORDER_ENDED"]).await;
    let again = counter.run(&["order", "cancel", &number]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.err.contains("had been done before"), "{again:?}");
    let history = counter.json(&["order", "transitions", &number]).await;
    assert_eq!(history.len(), 2);
    assert_eq!(history[1]["reason"], "-no hunger");
    assert!(!history[1]["actor"].as_str().expect("an actor").starts_with("system:"), "{history:?}");
    let other = counter.order("manual").await;
    counter.fails(&["order", "reject", &other], 1, &["TRANSITION_NOT_ALLOWED"]).await;
    counter.fails(&["order", "advance", &other, "--expected-version", "7"], 1, &["VERSION_MISMATCH"]).await;
    assert_eq!(counter.json(&["order", "advance", &other]).await[0]["transition"]["toStatus"], "closed");
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_listed_and_sent_again_as_a_copy() {
    let counter = Counter::open().await;
    let number = counter.order("delivery").await;
    let mails = eventually("four mails are sent", async || {
        let mails = counter.json(&["mail", "list", &number]).await;
        (mails.iter().filter(|mail| mail["state"] == "MAIL_STATE_SENT").count() == 4).then_some(mails)
    })
    .await;
    assert_eq!(mails[0]["recipient"], *email("example.com"));
    let copy = counter.json(&["mail", "resend", &number, "2"]).await;
    assert_eq!(copy[0]["copy"], 1);
    assert_ne!(copy[0]["messageId"], mails[1]["messageId"]);
    let order_id = copy[0]["orderId"].as_str().expect("an id");
    let file = counter.world.mail_dir().join(format!("{number}-2-1-{order_id}.eml"));
    eventually("the copy is sent", async || fs::exists(&file).expect("a folder").then_some(())).await;
    let table = counter.run(&["mail", "list", &number]).await;
    assert_eq!(table.out.lines().count(), 6, "a header and five mails: {}", table.out);
    let manual = counter.order("manual").await;
    counter.world.reaches("SELECT count(*) FROM notification.mails WHERE state = 6", 1).await;
    counter.fails(&["mail", "resend", &manual, "1"], 1, &["MAIL_NOT_DUE"]).await;
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_escaped_on_a_terminal_and_kept_in_json() {
    let counter = Counter::open().await;
    let name = "Sopa \u{202e}atar\u{2069} de \u{200f}hoy";
    let order = ["order", "create", "--item", &format!("{name}=1500"), "--currency", "CLP", "--workflow", "manual"];
    let created = counter.run(&[&order[..], &["--label", "table=4\u{2066}"]].concat()).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    assert!(created.out.contains("Sopa \\u{202e}atar\\u{2069} de \\u{200f}hoy at 1500 CLP"), "{created:?}");
    assert!(created.out.contains("table=4\\u{2066}"), "{created:?}");
    let list = counter.run(&["order", "list", "--json"]).await;
    assert!(list.out.is_ascii() && list.out.contains("\\u202eatar"), "{list:?}");
    let parsed: Value = serde_json::from_str(list.out.lines().next().expect("an order")).expect("JSON");
    assert_eq!(parsed["items"][0]["name"], name);
    let bad = counter.run(&[&order[..], &["--label", "a\u{1b}[2Jb=1"]].concat()).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(!bad.err.contains('\u{1b}'), "{bad:?}");
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_who_the_customers_are_only_on_request_and_nothing_after_they_are_erased() {
    let counter = Counter::open().await;
    let customer = ["--customer", "bea", "--customer-name", "Bea Paz", "--email", &email("example.com")];
    let order = ["order", "create", "--product", "Taco", "--price", "2.50", "--workflow", "manual"];
    let created = counter.json(&[&order[..], &customer].concat()).await;
    let number = created[0]["order"]["number"].as_str().expect("a number").to_owned();
    let list = ["order", "list", "--customer", "bea"];
    let basic = counter.json(&list).await;
    assert_eq!(basic[0]["customer"], serde_json::json!({"customerId": "bea"}));
    let full = counter.json(&[&list[..], &["--full"]].concat()).await;
    assert_eq!(full[0]["customer"]["name"], "Bea Paz");
    assert_eq!(counter.json(&["order", "show", &number]).await[0]["customer"]["name"], "Bea Paz");
    counter.fails(&["order", "erase-customer", "bea"], 2, &["--yes"]).await;
    let erased = counter.run(&["order", "erase-customer", "bea", "--yes"]).await;
    assert_eq!((erased.code, &*erased.out), (Some(0), "erased in 1 orders\n"), "{erased:?}");
    let shown = counter.run(&["order", "show", &number]).await;
    assert!(!shown.out.contains("Bea") && !shown.out.contains("example.com"), "{shown:?}");
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_without_an_offset_are_refused_and_others_are_told_in_utc() {
    let counter = Counter::open().await;
    counter.order("manual").await;
    let list = ["order", "list", "--created-from"];
    counter.fails(&[&list[..], &["2026-03-29T00:00:00"]].concat(), 2, &["T03:00:00Z", "T00:00:00-03:00"]).await;
    let ended = counter.run(&[&list[..], &["2026-03-29T00:30:00+02:00"]].concat()).await;
    assert!(ended.err.contains("created from 2026-03-28T22:30:00Z"), "{ended:?}");
    assert_eq!(ended.out.lines().count(), 2, "a header and an order: {ended:?}");
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_listed_and_shown_by_revision() {
    let counter = Counter::open().await;
    let names: Vec<_> = counter.json(&["workflow", "list"]).await;
    assert!(names.iter().any(|workflow| workflow["name"] == "manual"), "{names:?}");
    let shown = counter.run(&["workflow", "show", "manual", "--revision", "1"]).await;
    for part in ["manual, revision 1", "-> closed", "advance", "-> void", "cancel"] {
        assert!(shown.out.contains(part), "{shown:?}");
    }
    counter.fails(&["workflow", "show", "manual", "--revision", "9"], 4, &["WORKFLOW_NOT_FOUND"]).await;
    counter.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlasts_a_connection_that_is_cut() {
    let counter = Counter::open().await;
    let number = counter.order("manual").await;
    let proxy = free_address();
    let forwarder = Forwarder::start(proxy, &counter.address).await;
    let watch = ["order", "watch", &number, "--json", "--addr", &proxy.to_string()].map(str::to_owned);
    let words = watch.each_ref().map(String::as_str);
    let disturb = async {
        eventually("the watch is connected", async || (forwarder.accepted() > 0).then_some(())).await;
        drop(forwarder);
        counter.json(&["order", "advance", &number]).await;
        let _again = Forwarder::start(proxy, &counter.address).await;
        std::future::pending::<Ended>().await
    };
    let ended = tokio::select! {
        ended = counter.world.run(&words) => ended,
        ended = disturb => ended,
    };
    let versions: Vec<_> = ended.out.lines().filter(|line| line.contains("\"transition\"")).collect();
    assert_eq!(versions.len(), 2, "each version once: {ended:?}");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    counter.close().await;
}

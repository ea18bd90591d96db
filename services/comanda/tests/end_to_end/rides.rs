//! Rides, from the request to the end: a courier is found, told, shown and mailed; or none is.

use comanda_kit::testing::eventually;
use serde_json::Value;

use crate::harness::{Ended, Role, SmtpServer, World, email};

const PICKUP: &str = "-33.43711,-70.65122";
const DROPOFF: &str = "-33.42633,-70.61344";
const STREET: &str = "Calle Larga 12";
/// What must be in no log: where people are and go.
const PLACES: [&str; 5] = ["33.43711", "70.65122", "33.42633", "70.61344", STREET];

/// A server with every role, its mail server, and a terminal.
struct City {
    world: World,
    mails: SmtpServer,
    server: Role,
    address: String,
}

impl City {
    async fn open(settings: &[&str]) -> Self {
        let (world, mails) = (World::new().await, SmtpServer::start().await);
        let mut server = world.start(&[&["all", "--smtp-url", &mails.url], settings].concat());
        server.serves().await;
        let address = server.address().await.to_string();
        Self { world, mails, server, address }
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

    /// The same of a verb that may be too early: until it succeeds.
    async fn at_last(&self, args: &[&str]) -> String {
        eventually(&format!("{args:?} succeeds"), async || {
            let ended = self.run(args).await;
            (ended.code == Some(0)).then_some(ended.out)
        })
        .await
    }

    /// What a verb says that is refused, once dispatch knows of the order.
    async fn refused(&self, args: &[&str], code: i32) -> String {
        eventually(&format!("{args:?} is refused with {code}"), async || {
            let ended = self.run(args).await;
            let is_early = ended.err.contains("ORDER_NOT_FOUND");
            (ended.code == Some(code) && !is_early).then_some(ended.err)
        })
        .await
    }

    /// A registered courier.
    async fn courier(&self, courier: &str) {
        let vehicle = ["--vehicle", "white Toyota Corolla", "--plate", "BBCL-12"];
        self.json(&[&["courier", "register", courier, "--name", "Maria Soto"], &vehicle[..]].concat()).await;
    }

    /// A courier that takes jobs, at the pickup of every ride here.
    async fn courier_online(&self, courier: &str) {
        self.courier(courier).await;
        self.json(&["courier", "status", courier, "available"]).await;
        self.json(&["courier", "locate", courier, PICKUP]).await;
    }

    /// The id and the number of a new ride.
    async fn ride(&self) -> (String, String) {
        let trip = ["ride", "request", "--from", PICKUP, "--to", DROPOFF, "--from-address", STREET];
        let answer = self.json(&[&trip[..], &["--email", &email("example.com")]].concat()).await;
        let text = |name: &str| answer[0]["order"][name].as_str().expect("a text").to_owned();
        (text("orderId"), text("number"))
    }

    /// Waits until an order has a status.
    async fn is(&self, number: &str, status: &str) {
        eventually(&format!("order {number} is {status}"), async || {
            (self.json(&["order", "get", number]).await[0]["status"] == status).then_some(())
        })
        .await;
    }

    /// The statuses of an order so far.
    async fn path(&self, number: &str) -> Vec<String> {
        let steps = self.json(&["order", "transitions", number]).await;
        steps.iter().map(|step| step["toStatus"].as_str().expect("a status").to_owned()).collect()
    }

    /// What a courier has to do, as its own process shows it.
    fn watch(&self, courier: &str) -> Role {
        self.world.start(&["courier", "watch", courier, "--addr", &self.address])
    }

    async fn close(self, watches: impl IntoIterator<Item = Role>) {
        drop(watches.into_iter().collect::<Vec<_>>());
        for (path, log) in self.world.logs() {
            let is_of_a_watch = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("courier"));
            let told = PLACES.into_iter().find(|place| log.contains(place));
            assert!(is_of_a_watch || told.is_none(), "{} must not hold {told:?}", path.display());
        }
        self.world.stop([self.server]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_is_allotted_mailed_driven_and_completed() {
    let city = City::open(&[]).await;
    city.courier_online("maria").await;
    let watch = city.watch("maria");
    watch.says("maria  available  nothing to do").await;
    let (order_id, number) = city.ride().await;
    city.is(&number, "confirmed").await;
    let mail = city.mails.mail(&order_id, 2).await;
    for part in ["Maria Soto", "white Toyota Corolla", "BBCL-12"] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    watch.says(&format!("next: comanda assignment arrived {number} --attempt 1")).await;
    watch.says(STREET).await;
    let shown = city.run(&["order", "get", &number]).await.out;
    assert!(shown.contains("maria, Maria Soto, white Toyota Corolla, BBCL-12 (confirmed)"), "{shown}");

    let early = city.run(&["assignment", "complete", &number]).await;
    assert!(early.code == Some(1) && early.err.contains("first: `comanda assignment picked-up`"), "{early:?}");
    city.at_last(&["assignment", "arrived", &number]).await;
    watch.says("at the pickup").await;
    city.is(&number, "arriving").await;
    city.at_last(&["assignment", "picked-up", &number]).await;
    let late = city.run(&["assignment", "withdraw", &number]).await;
    assert!(late.code == Some(1) && late.err.contains("ALREADY_PICKED_UP"), "{late:?}");
    city.at_last(&["assignment", "complete", &number]).await;
    let again = city.run(&["assignment", "complete", &number]).await;
    assert!(again.code == Some(0) && again.err.contains("done before"), "{again:?}");
    city.is(&number, "completed").await;
    assert_eq!(city.path(&number).await, ["requested", "confirmed", "arriving", "on_trip", "completed"]);
    let assignment = &city.json(&["assignment", "show", &number]).await[0];
    assert_eq!((&assignment["outcome"], &assignment["attempt"]), (&"ASSIGNMENT_OUTCOME_COMPLETED".into(), &1.into()));
    eventually("the courier has nothing to do", async || watch.log().ends_with("nothing to do\n").then_some(())).await;
    eventually("the ride is counted", async || {
        let (rates, couriers) = (city.json(&["stats", "rates"]).await, city.json(&["stats", "couriers"]).await);
        let [rates, courier] = [rates.first()?, couriers.first()?];
        (rates["succeededCount"] == "1" && rates["pickupCount"] == "1" && rates["onTimeCount"] == "1").then_some(())?;
        (courier["courierId"] == "maria" && courier["completedCount"] == "1").then_some(())
    })
    .await;
    city.close([watch]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_that_was_cancelled_first_is_nobodys_job_and_the_next_one_is() {
    let city = City::open(&[]).await;
    city.courier("maria").await;
    let watch = city.watch("maria");
    let (_, cancelled) = city.ride().await;
    city.json(&["order", "cancel", &cancelled, "--reason", "walks"]).await;
    city.is(&cancelled, "cancelled").await;
    city.courier_online("maria").await;
    let (_, number) = city.ride().await;
    city.is(&number, "confirmed").await;
    watch.says(&format!("comanda assignment arrived {number} ")).await;
    assert!(!watch.log().contains(&format!("#{cancelled} ")), "{}", watch.log());
    assert_eq!(city.json(&["assignment", "list", "--order", &cancelled]).await, Vec::<Value>::new());

    // Cancelled after it was confirmed: its courier is told, and free again.
    city.json(&["order", "cancel", &number]).await;
    eventually("the courier has nothing to do", async || watch.log().ends_with("nothing to do\n").then_some(())).await;
    assert_eq!(city.path(&number).await, ["requested", "confirmed", "cancelled"]);
    let outcome = eventually("the assignment has ended", async || {
        let shown = city.json(&["assignment", "show", &number]).await;
        shown[0]["outcome"].as_str().map(str::to_owned)
    });
    assert_eq!(outcome.await, "ASSIGNMENT_OUTCOME_ORDER_MOVED");
    city.close([watch]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_who_withdraws_is_replaced_by_one_who_comes_online() {
    let city = City::open(&[]).await;
    city.courier_online("maria").await;
    let (_, number) = city.ride().await;
    city.is(&number, "confirmed").await;
    city.at_last(&["assignment", "withdraw", &number, "--reason", "a flat tyre"]).await;
    city.is(&number, "requested").await;
    city.courier_online("pedro").await;
    city.is(&number, "confirmed").await;
    assert_eq!(city.path(&number).await, ["requested", "confirmed", "requested", "confirmed"]);
    let shown = city.json(&["assignment", "list", "--order", &number]).await;
    let couriers: Vec<_> = shown.iter().map(|assignment| assignment["courierId"].as_str().expect("a text")).collect();
    assert_eq!(couriers, ["pedro", "maria"], "newest first");
    city.close([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_for_which_nobody_drives_ends_with_a_mail_that_says_so() {
    let city = City::open(&["--step-ms", "1500"]).await;
    let (order_id, number) = city.ride().await;
    city.is(&number, "no_driver").await;
    assert_eq!(city.path(&number).await, ["requested", "no_driver"]);
    let mail = city.mails.mail(&order_id, 2).await;
    // Without a locale the mail is in the server's own language.
    assert!(mail.contains("no driver was found") || mail.contains("conductor"), "{mail}");
    city.close([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_given_to_a_courier_by_hand() {
    let city = City::open(&[]).await;
    city.courier("maria").await;
    let (_, number) = city.ride().await;
    let nobody = city.refused(&["assignment", "assign", &number, "nobody"], 4).await;
    assert!(nobody.contains("COURIER_NOT_FOUND") && nobody.contains("comanda courier register"), "{nobody}");
    let offline = city.refused(&["assignment", "assign", &number, "maria"], 1).await;
    assert!(offline.contains("COURIER_FULL"), "{offline}");
    city.json(&["courier", "status", "maria", "available"]).await;
    let id = "018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60";
    // Nobody knows where the courier is: only a person may decide that.
    city.at_last(&["assignment", "assign", &number, "maria", "--request-id", id]).await;
    city.is(&number, "confirmed").await;
    let again = &city.json(&["assignment", "assign", &number, "maria", "--request-id", id]).await[0];
    assert_eq!(again["replayed"], true, "{again}");
    let listed = &city.json(&["courier", "list"]).await[0];
    assert_eq!(listed["openAssignments"], 1, "{listed}");
    city.close([]).await;
}

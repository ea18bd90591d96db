//! Reports: what `comanda stats` says of orders that went their way, before and after the history is counted again, and although the role
//! that counts was killed on the way.

use comanda_kit::testing::eventually;
use comanda_proto::topics;
use serde_json::Value;

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{STEP_MS, World, orders};

#[tokio::test(flavor = "multi_thread")]
async fn reports_count_each_order_once_and_a_rebuild_gives_the_same() {
    let world = World::new().await;
    world.environment.create_topic(topics::ASSIGNMENTS).await.expect("a topic");
    let [mut ordering, state_machine, notification] = world.start_roles(STEP_MS).await;
    let mut analytics = world.start(&["analytics"]);
    analytics.serves().await;
    let mut order_ids = world.create(&ordering.orders().await, &orders(20)).await;
    analytics.kill();
    order_ids.extend(world.create(&ordering.orders().await, &orders(20)).await);
    world.all_delivered(&order_ids).await;
    analytics.start_again();
    analytics.serves().await;
    let address = analytics.address().await.to_string();
    // The same time in every report, however long the test takes.
    let now = OffsetDateTime::now_utc();
    let time = |time: OffsetDateTime| time.format(&Rfc3339).expect("a time of our days");
    let (from, to) = (time(now - Duration::hours(5)), time(now + Duration::hours(2)));
    let flags = ["--addr", &*address, "--from", &*from, "--to", &*to];
    let stats = async |args: &[&str]| world.succeeds(&[&["stats"], args, &flags].concat()).await;
    let delivered =
        "\"status\":\"delivered\",\"phase\":\"PHASE_SUCCEEDED\",\"enteredCount\":\"40\",\"presentCount\":\"40\"";
    eventually("all are counted", async || stats(&["orders", "--json"]).await.contains(delivered).then_some(())).await;
    let reports: [&[&str]; 4] =
        [&["orders"], &["dwell", "--csv"], &["rates", "--json"], &["revenue", "--csv", "--bucket", "day"]];
    let mut before = Vec::new();
    for report in reports {
        before.push(stats(report).await);
    }
    assert!(before[0].contains("delivered") && before[0].contains('█'), "{}", before[0]);
    assert!(before[1].starts_with("time,workflow,status,left,mean,p50,p90,p99\n"), "{}", before[1]);
    let rates: Value = serde_json::from_str(&before[2]).expect("one row");
    assert_eq!((&rates["createdCount"], &rates["succeededCount"]), (&"40".into(), &"40".into()));
    assert!(before[3].lines().any(|line| line.ends_with("delivery,CLP,40,40,120000.00")), "{}", before[3]);
    let rebuilt = world.succeeds(&["stats", "rebuild"]).await;
    assert_eq!(rebuilt, "the history is counted again: the reports show generation 2\n");
    for (report, before) in reports.iter().zip(before) {
        assert_eq!(stats(report).await, before, "{report:?}");
    }
    assert!(stats(&["state"]).await.contains("generation      2"));
    let wrong = world.run(&["stats", "orders", "--from", "400d", "--addr", &address]).await;
    assert!(wrong.code == Some(1) && wrong.err.contains("filter.from_time"), "{wrong:?}");
    world.stop([ordering, state_machine, notification, analytics]).await;
}

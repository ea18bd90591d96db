//! The operator's commands.

use comanda_kit::testing::eventually;
use comanda_proto::topics;
use serde_json::Value;

use crate::harness::{STEP_MS, World, at, free_address, orders};

#[tokio::test(flavor = "multi_thread")]
async fn migrating_again_changes_nothing() {
    let world = World::unmigrated().await;
    let first = world.succeeds(&["migrate", "--partitions", "3"]).await;
    assert_eq!(first.matches("made, with 3 partitions").count(), topics::ALL.len(), "{first}");
    let again = world.succeeds(&["migrate", "--partitions", "3"]).await;
    assert!(
        again.contains("database: up to date") && again.matches("was there\n").count() == topics::ALL.len(),
        "{again}"
    );
    let other = world.succeeds(&["migrate", "--only", "topics", "--partitions", "5"]).await;
    assert_eq!(other.matches("WAS THERE WITH 3 PARTITIONS, not 5").count(), topics::ALL.len(), "{other}");
    let still = world.succeeds(&["migrate", "--only", "topics", "--partitions", "3"]).await;
    assert_eq!(still.matches("was there\n").count(), topics::ALL.len(), "no topic was altered: {still}");
    assert_eq!(world.count("SELECT count(*) FROM state_machine.workflows").await, 4, "one revision of each workflow");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_waits_and_what_is_done() {
    let world = World::new().await;
    let [mut ordering, state_machine, notification] = world.start_roles(STEP_MS).await;
    let order_ids = world.create(&ordering.orders().await, &orders(5)).await;
    world.all_delivered(&order_ids).await;
    world.mails_are_files(&order_ids).await;
    let done = eventually("every group has committed", async || {
        let status = status(&world, 0).await;
        (status["adoption_lag"] == 0 && status["mail_lag"] == 0).then_some(status)
    })
    .await;
    for nothing in ["orders_unpublished", "transitions_unpublished", "orders_active", "orders_stuck", "dead_letters"] {
        assert_eq!(done[nothing], 0, "{done}");
    }
    assert_eq!(done["mails"], serde_json::json!({"sent": 20}));
    world.stop([ordering, state_machine, notification]).await;

    sqlx::query("UPDATE state_machine.states SET due_at = now() - interval '1 hour'")
        .execute(&world.sql)
        .await
        .expect("states");
    assert_eq!(status(&world, 1).await["orders_stuck"], 5);
    let text = world.run(&["status"]).await;
    assert!(text.code == Some(1) && text.out.contains("orders stuck (due for 1 min)   5"), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_a_dead_letter_retried_and_dropped() {
    let world = World::new().await;
    let [mut ordering, state_machine, notification] = world.start_roles(STEP_MS).await;
    let garbage = ("nobody".to_owned(), b"\xffgarbage".to_vec());
    world.environment.produce(topics::ORDERS, std::slice::from_ref(&garbage)).await.expect("a topic");
    world.environment.produce(topics::ORDER_TRANSITIONS, &[garbage]).await.expect("a topic");
    world.reaches("SELECT count(*) FROM state_machine.dead_letters", 1).await;
    world.reaches("SELECT count(*) FROM notification.dead_letters", 1).await;
    let order_ids = world.create(&ordering.orders().await, &orders(5)).await;
    world.reaches("SELECT count(*) FROM state_machine.states WHERE status = 'delivered'", 5).await;
    world.ledger_is_sent(&order_ids).await;
    assert_eq!(status(&world, 1).await["dead_letters"], 2);

    let list = world.succeeds(&["dead-letters", "list"]).await;
    assert_eq!(list.lines().count(), 2, "{list}");
    let name = named(&list, "orders/");
    let retried = world.succeeds(&["dead-letters", "retry", "--record", &name]).await;
    assert_eq!(retried, format!("retried {name}\n"));
    eventually("it is a dead letter again, at another place", async || {
        let list = world.succeeds(&["dead-letters", "list"]).await;
        (list.lines().count() == 2 && !list.contains(&name)).then_some(())
    })
    .await;
    let ended = world.run(&["dead-letters", "drop", "--record", &name]).await;
    assert!(ended.code == Some(1) && ended.err.contains("no such record"), "{ended:?}");
    assert_eq!(world.run(&["dead-letters", "drop"]).await.code, Some(2), "what to drop must be said");
    assert_eq!(world.succeeds(&["dead-letters", "drop", "--all"]).await.lines().count(), 2);
    assert_eq!(world.succeeds(&["dead-letters", "list"]).await, "");
    assert_eq!(status(&world, 0).await["dead_letters"], 0);
    world.stop([ordering, state_machine, notification]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_removes_what_ended_long_ago_and_owes_nothing() {
    let world = World::new().await;
    let [mut ordering, state_machine, notification] = world.start_roles(STEP_MS).await;
    let order_ids = world.create(&ordering.orders().await, &orders(6)).await;
    world.all_delivered(&order_ids).await;
    world.ledger_is_sent(&order_ids).await;
    world.stop([ordering, state_machine, notification]).await;

    let ended = world.run(&["purge", "--older-than", "14"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(world.succeeds(&["purge", "--older-than", "15"]).await, "0 orders removed\n");
    // All but the first are old; the third owes a mail, the fourth a publication, the fifth is still on its way.
    let [_, _, mail, publication, way, _] = &order_ids[..] else { panic!("six orders") };
    let aged = "UPDATE state_machine.states SET status_time = now() - interval '16 days' WHERE order_id <> $1::uuid";
    sqlx::query(aged).bind(&order_ids[0]).execute(&world.sql).await.expect("states");
    for (statement, order_id) in [
        ("UPDATE notification.mails SET state = 1 WHERE version = 2 AND order_id = $1::uuid", mail),
        ("INSERT INTO state_machine.outbox (order_ids, versions) VALUES (ARRAY[$1::uuid], ARRAY[4])", publication),
        ("UPDATE state_machine.states SET due_at = 'infinity' WHERE order_id = $1::uuid", way),
    ] {
        sqlx::query(statement).bind(order_id).execute(&world.sql).await.expect("a row");
    }
    assert_eq!(world.succeeds(&["purge", "--older-than", "15"]).await, "2 orders removed\n");
    world.stores_exactly(&[&order_ids[..1], &order_ids[2..5]].concat()).await;
    world.history_is_dense().await;
    for (statement, left) in [
        ("SELECT count(*) FROM state_machine.states", 4),
        ("SELECT count(*) FROM state_machine.transitions", 16),
        ("SELECT count(*) FROM notification.mails", 16),
    ] {
        assert_eq!(world.count(statement).await, left, "{statement}");
    }
    assert_eq!(world.succeeds(&["purge", "--older-than", "15"]).await, "0 orders removed\n");

    // Without a ledger nothing is owed by it.
    for statement in [
        "DELETE FROM notification.mails",
        "DELETE FROM state_machine.outbox",
        "UPDATE state_machine.states SET due_at = NULL, status_time = now() - interval '16 days'",
    ] {
        sqlx::query(statement).execute(&world.sql).await.expect("rows");
    }
    assert_eq!(world.succeeds(&["purge", "--older-than", "15"]).await, "0 orders removed\n");
    let other = ["purge", "--older-than", "15", "--no-mails", "--tenant", "acme"];
    assert_eq!(world.succeeds(&other).await, "0 orders removed\n");
    let republish = async |tenant| world.succeeds(&["republish", "--all", "--tenant", tenant]).await;
    assert!(republish("acme").await.starts_with("0 orders") && republish("default").await.starts_with("4 orders"));
    for schema in ["ordering", "state_machine"] {
        let outbox = sqlx::AssertSqlSafe(format!("DELETE FROM {schema}.outbox"));
        sqlx::query(outbox).execute(&world.sql).await.expect("rows");
    }
    let own = ["purge", "--older-than", "15", "--no-mails", "--tenant", "default"];
    assert_eq!(world.succeeds(&own).await, "4 orders removed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_a_database_is_told_so() {
    let mut world = World::new().await;
    let nobody = free_address();
    world.environment.postgres.database_url = at(&world.environment.postgres.database_url, nobody);
    for command in [
        &["migrate"][..],
        &["status"],
        &["republish", "--all"],
        &["purge", "--older-than", "15"],
        &["dead-letters", "list"],
        &["access", "init", "--tenant", "acme"],
        &["key", "list"],
        &["audit", "list"],
    ] {
        let ended = world.run(command).await;
        assert_eq!(ended.code, Some(1), "{command:?}: {ended:?}");
        assert!(ended.err.contains("database"), "{command:?}: {ended:?}");
        assert!(!ended.err.contains("canary"), "no password is shown: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_tenant_counts_what_is_its_own() {
    let world = World::new().await;
    for statement in [
        "INSERT INTO state_machine.states
             (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
         SELECT gen_random_uuid(), tenant, 'delivery', 1, 1, 'received', 1, now(), due
         FROM (VALUES ('acme', now() - interval '1 hour'), ('acme', 'infinity'), ('bravo', 'infinity')) s (tenant, due)",
        "INSERT INTO notification.mails (order_id, version, tenant, status, transition_time, state, next_try_time, undelivered_time)
         SELECT gen_random_uuid(), 1, tenant, 'received', now(), state, next, undelivered
         FROM (VALUES ('acme', 4, NULL, NULL), ('bravo', 1, now(), NULL), ('bravo', 5, NULL, now()))
             m (tenant, state, next, undelivered)",
        "INSERT INTO dispatch.couriers (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status)
         SELECT tenant, 'maria', '', '', '', '', '', 1, 1, 2 FROM (VALUES ('acme'), ('bravo')) c (tenant)",
        "INSERT INTO dispatch.jobs
             (order_id, tenant, number, workflow, workflow_revision, order_version, order_status, state, not_before, waiting_since)
         SELECT gen_random_uuid(), tenant, 1, 'ride', 1, 1, 'requested', 2, now(), now()
         FROM (VALUES ('acme'), ('acme'), ('bravo')) j (tenant)",
    ] {
        sqlx::query(statement).execute(&world.sql).await.expect("rows");
    }
    let (all, acme, bravo) = (
        status(&world, 1).await,
        status_of(&world, &["--tenant", "acme"], 1).await,
        status_of(&world, &["--tenant", "bravo"], 0).await,
    );
    for (field, wanted) in [
        ("orders_active", [3, 2, 1]),
        ("timers_due", [1, 1, 0]),
        ("orders_stuck", [1, 1, 0]),
        ("couriers_available", [2, 1, 1]),
        ("orders_waiting_for_a_courier", [3, 2, 1]),
    ] {
        assert_eq!([&all[field], &acme[field], &bravo[field]], wanted, "{field}");
    }
    assert_eq!(all["mails"], serde_json::json!({"sent": 1, "due": 1, "dead": 1}));
    assert_eq!(acme["mails"], serde_json::json!({"sent": 1}));
    assert_eq!(bravo["mails"], serde_json::json!({"due": 1, "dead": 1}));

    // What nobody can read is nobody's, and everybody's.
    let unreadable = "INSERT INTO dispatch.dead_letters VALUES ('t', 1, 0, 0, '', '', 'unreadable', now())";
    sqlx::query(unreadable).execute(&world.sql).await.expect("a row");
    assert_eq!(status_of(&world, &["--tenant", "bravo"], 1).await["dead_letters"], 1);
}

/// `comanda status --json`, with its exit code.
async fn status(world: &World, code: i32) -> Value {
    status_of(world, &[], code).await
}

async fn status_of(world: &World, words: &[&str], code: i32) -> Value {
    let ended = world.run(&[&["status", "--json"], words].concat()).await;
    assert_eq!(ended.code, Some(code), "{ended:?}");
    serde_json::from_str(&ended.out).expect("one JSON object")
}

/// The name of a dead letter of a topic.
fn named(list: &str, topic: &str) -> String {
    let mut words = list.split_whitespace().filter(|word| word.contains(topic));
    words.next().unwrap_or_else(|| panic!("no {topic} in {list}")).to_owned()
}

//! Workflows of the user's own.

use comanda_kit::testing::eventually;
use comanda_proto::v1::{CreateOrderRequest, ListWorkflowsRequest};

use crate::harness::{STEP_MS, World, order, orders};

const TACOS: &str = r#"
name = "tacos"
[[status]]
name = "asked"
phase = "active"
[[status]]
name = "grilled"
phase = "active"
mail = "status"
[[status]]
name = "eaten"
phase = "succeeded"
[[edge]]
from = ["asked"]
to = "grilled"
on = ["timer"]
delay_ms = 3_600_000
[[edge]]
from = ["grilled"]
to = "eaten"
on = ["timer", "advance"]
delay_ms = 3_600_000
"#;

#[tokio::test(flavor = "multi_thread")]
async fn new_orders_follow_a_file_and_old_ones_the_revision_they_have() {
    let world = World::new().await;
    let file = world.file("tacos.toml", TACOS);
    let mut ordering = world.start(&["ordering"]);
    let mut state_machine = world.start(&["state-machine", "--workflow-file", &file]);
    ordering.serves().await;
    state_machine.serves().await;
    let client = ordering.orders().await;
    let taco = || CreateOrderRequest { workflow: "tacos".into(), ..order() };
    // Nobody moves the first order before there is a new revision.
    state_machine.stops().await;
    let old = world.create(&client, &[taco()]).await;

    let file = world.file("tacos.toml", &TACOS.replace("grilled", "fried"));
    let mut state_machine = world.start(&["state-machine", "--workflow-file", &file, "--step-ms", STEP_MS]);
    state_machine.serves().await;
    let workflows =
        state_machine.lifecycle().await.list_workflows(ListWorkflowsRequest::default()).await.expect("a list");
    let known: Vec<_> =
        workflows.into_inner().workflows.into_iter().map(|known| (known.name, known.revision)).collect();
    let expected = [("courier-delivery", 1), ("delivery", 1), ("delivery-finalizado", 1), ("ride", 1), ("tacos", 2)];
    assert_eq!(known, expected.map(|(name, revision)| (name.to_owned(), revision)));
    // Ordering looks at the workflows every few seconds.
    let new = eventually("a new order follows the new revision", async || {
        let order_ids = world.create(&client, &[taco()]).await;
        (world.count("SELECT max(workflow_revision)::bigint FROM ordering.orders").await == 2).then_some(order_ids)
    })
    .await;
    for (order_id, status) in [(&new[0], "fried"), (&old[0], "grilled")] {
        let path = ["asked", status, "eaten"];
        eventually("the order ends by its own revision", async || {
            (statuses(&world, order_id).await == path).then_some(())
        })
        .await;
    }
    world.stop([ordering, state_machine]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_ends_the_start_and_is_named() {
    let world = World::new().await;
    let broken = [
        ("syntax.toml", "name = ".to_owned(), "line 1"),
        ("nowhere.toml", TACOS.replace("to = \"eaten\"", "to = \"burnt\""), "burnt"),
        ("circle.toml", TACOS.replace("to = \"eaten\"", "to = \"asked\""), "asked"),
    ];
    for (name, text, error) in broken {
        let file = world.file(name, &text);
        for role in ["state-machine", "all"] {
            let ended = world.run(&[role, "--workflow-file", &file]).await;
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.err.contains(&file) && ended.err.contains(error), "{ended:?}");
        }
    }
    let ended = world.run(&["state-machine", "--workflow-file", "/nowhere.toml"]).await;
    assert!(ended.code == Some(1) && ended.err.contains("cannot read /nowhere.toml"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_variant_ends_in_its_own_word() {
    let world = World::new().await;
    let roles = world.start_roles(STEP_MS).await;
    let [mut ordering, state_machine, notification] = roles;
    let requests: Vec<_> = orders(3)
        .into_iter()
        .map(|order| CreateOrderRequest { workflow: "delivery-finalizado".into(), ..order })
        .collect();
    let order_ids = world.create(&ordering.orders().await, &requests).await;
    for order_id in &order_ids {
        let path = ["received", "preparing", "dispatched", "completed"];
        eventually("the order ends", async || (statuses(&world, order_id).await == path).then_some(())).await;
    }
    world.ledger_is_sent(&order_ids).await;
    world.stop([ordering, state_machine, notification]).await;
}

/// The statuses that an order has gone through.
async fn statuses(world: &World, order_id: &str) -> Vec<String> {
    let statement = "SELECT to_status FROM state_machine.transitions WHERE order_id = $1::uuid ORDER BY version";
    sqlx::query_scalar(statement).bind(order_id).fetch_all(&world.sql).await.expect("a history")
}

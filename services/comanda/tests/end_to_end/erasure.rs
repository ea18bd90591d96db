//! `comanda customer erase`: a person is gone from every table, and only from the orders of one tenant.

use comanda_kit::testing::eventually;
use sqlx::AssertSqlSafe;

use crate::harness::World;

/// Every table of every service, and whether it tells tenants apart.
const TABLES: &str = "SELECT format('%I.%I', t.table_schema, t.table_name), count(c.column_name) > 0
                      FROM information_schema.tables t
                      LEFT JOIN information_schema.columns c
                        ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.column_name = 'tenant'
                      WHERE t.table_schema IN ('ordering', 'state_machine', 'notification', 'dispatch', 'analytics', 'access')
                        AND t.table_type = 'BASE TABLE'
                      GROUP BY 1
                      ORDER BY 1";
/// What only the person's data has.
const TRACES: [&str; 6] = ["Rosalinda", "rosa@", "Calle Larga 5", "vip-7", "es-PE", "-33.437"];
const CUSTOMER: [&str; 8] =
    ["--customer", "rosa", "--customer-name", "Rosalinda Paz", "--email", "rosa@example.com", "--locale", "es-PE"];

async fn count(world: &World, statement: String) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&world.sql).await.expect("a statement that counts")
}

/// The tables that have any of it, as text or as bytes.
async fn traces(world: &World, tenant: &str) -> Vec<String> {
    let tables: Vec<(String, bool)> = sqlx::query_as(TABLES).fetch_all(&world.sql).await.expect("tables");
    let mut found = Vec::new();
    for (table, tells_tenants) in tables {
        let rows = if tells_tenants { format!("WHERE tenant = '{tenant}'") } else { String::new() };
        for trace in TRACES {
            let bytes: String = trace.bytes().map(|byte| format!("{byte:02x}")).collect();
            let statement = format!(
                "SELECT count(*)
                 FROM (SELECT t::text AS written FROM {table} t {rows}) r
                 WHERE written LIKE '%{trace}%' OR written LIKE '%{bytes}%'"
            );
            if count(world, statement).await > 0 {
                found.push(format!("{table}: {trace}"));
            }
        }
    }
    found
}

/// A ride, and an order that is cancelled for a reason that names the person; each with a mail that was answered.
async fn order_as_rosa(world: &World, address: &str, tenant: &str) {
    let key = world.file(tenant, &world.succeeds(&["access", "init", "--tenant", tenant]).await);
    let with = ["--addr", address, "--token-file", &key];
    let ride =
        ["ride", "request", "--from", "-33.437,-70.651", "--to", "-33.426,-70.613", "--from-address", "Calle Larga 5"];
    world.succeeds(&[&ride[..], &CUSTOMER, &with].concat()).await;
    let order = ["order", "create", "--product", "Taco", "--price", "2.50"];
    world.succeeds(&[&order[..], &["--label", "card=vip-7"], &CUSTOMER, &with].concat()).await;
    let cancel = ["order", "cancel", "2", "--reason", "Rosalinda told me on the phone"];
    world.succeeds(&[&cancel[..], &with].concat()).await;
    let sent = format!("SELECT count(*) FROM notification.mails WHERE tenant = '{tenant}' AND state = 4");
    eventually("a mail is sent", async || (count(world, sent.clone()).await > 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_gone_from_every_table_and_another_tenants_stays() {
    let world = World::new().await;
    let mail_dir = world.mail_dir().display().to_string();
    let mut all = world.start(&["all", "--access", "required", "--no-http", "--mail-dir", &mail_dir]);
    all.serves().await;
    let address = all.address().await.to_string();
    for tenant in ["acme", "bravo"] {
        order_as_rosa(&world, &address, tenant).await;
    }
    world.stop([all]).await;
    let reply = "UPDATE notification.mails SET last_reply = '250 for Rosalinda' WHERE version = 1 AND state = 4";
    sqlx::query(reply).execute(&world.sql).await.expect("mails");
    let (of_acme, of_bravo) = (traces(&world, "acme").await, traces(&world, "bravo").await);
    assert_eq!(of_acme, of_bravo);
    for table in ["ordering.orders", "ordering.trips", "state_machine.transitions", "notification.mails"] {
        assert!(of_acme.iter().any(|trace| trace.starts_with(table)), "{table} is not in {of_acme:?}");
    }

    let erase = ["customer", "erase", "rosa", "--tenant", "acme"];
    let unconfirmed = world.run(&erase).await;
    assert!(unconfirmed.code == Some(2) && unconfirmed.err.contains("--yes"), "{unconfirmed:?}");
    let report = world.succeeds(&[&erase[..], &["--yes"]].concat()).await;
    assert!(report.starts_with("erased in 2 orders: 1 labels, 2 places, 1 reasons, "), "{report}");
    assert_eq!(traces(&world, "acme").await, Vec::<String>::new());
    assert_eq!(traces(&world, "bravo").await, of_bravo, "of another tenant, under the same key");
    let orders = "SELECT count(*) FROM ordering.orders WHERE tenant = 'acme' AND customer_id = 'rosa'";
    assert_eq!(world.count(orders).await, 2, "the orders stay");
    let again = world.succeeds(&[&erase[..], &["--yes", "--json"]].concat()).await;
    assert_eq!(again, "{\"orders\":0,\"labels\":0,\"places\":0,\"reasons\":0,\"replies\":0}\n");
}

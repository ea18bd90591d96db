//! Orders by the million, written straight into the tables.

use anyhow::Result;
use sqlx::{AssertSqlSafe, PgPool};

/// Received orders whose timers end in the hour that begins an hour from now: none while anything is measured.
pub async fn pending(sql: &PgPool, count: i64) -> Result<()> {
    let orders = orders(count);
    let states = "INSERT INTO state_machine.states
                      (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
                  SELECT order_id, tenant, workflow, workflow_revision, 1, first_status, 1, create_time,
                         now() + interval '1 hour' + random() * interval '1 hour' FROM ordering.orders";
    let transitions = "INSERT INTO state_machine.transitions
                           (order_id, version, tenant, from_status, to_status, phase, transition_time, trigger, actor, reason, due_at)
                       SELECT order_id, 1, tenant, '', status, phase, status_time, 1, 'system:ordering', '', due_at
                       FROM state_machine.states";
    run(sql, &[&orders, states, transitions]).await
}

/// Orders that took their way an hour ago: four transitions, a minute apart.
pub async fn delivered(sql: &PgPool, count: i64) -> Result<()> {
    let orders = orders(count);
    let states = "INSERT INTO state_machine.states
                      (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
                  SELECT order_id, tenant, workflow, workflow_revision, 4, 'delivered', 2, create_time + interval '3 minutes', NULL
                  FROM ordering.orders";
    let transitions = "INSERT INTO state_machine.transitions
                           (order_id, version, tenant, from_status, from_time, to_status, phase, transition_time, trigger, actor,
                            reason, due_at)
                       SELECT order_id, s.version, tenant, s.from_status,
                              CASE WHEN s.version > 1 THEN create_time + (s.version - 2) * interval '1 minute' END,
                              s.to_status, s.phase,
                              create_time + (s.version - 1) * interval '1 minute', s.trigger, s.actor, '',
                              create_time + s.version * interval '1 minute' FROM ordering.orders,
                       (VALUES (1, '', 'received', 1, 1, 'system:ordering'), (2, 'received', 'preparing', 1, 2, 'system:timer'),
                               (3, 'preparing', 'dispatched', 1, 2, 'system:timer'),
                               (4, 'dispatched', 'delivered', 2, 2, 'system:timer'))
                       AS s (version, from_status, to_status, phase, trigger, actor)";
    run(sql, &[&orders, states, transitions]).await
}

/// As ordering writes them, an hour ago. Their ids rise with time as its ids do: a UUIDv7 begins with its milliseconds.
fn orders(count: i64) -> String {
    format!(
        "WITH numbers AS (
             INSERT INTO ordering.numbers AS n (tenant, last_number, last_create_time) VALUES ('default', {count}, now())
             ON CONFLICT (tenant) DO UPDATE SET last_number = n.last_number + {count}
             RETURNING last_number - {count} AS before
         )
         INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                      total_units, total_nanos, item_count, workflow, workflow_revision, first_status, create_time)
         SELECT (lpad(to_hex((extract(epoch FROM now() - interval '1 hour') * 1000)::bigint + n / 4), 12, '0')
                 || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
                'default', before + n, 'customer-' || n % 1000, 'Ana Pérez', 'ana@example.com', 'es', '', 'EUR', 12, 500000000, 1,
                'delivery',
                (SELECT revision FROM state_machine.current_workflows WHERE name = 'delivery'), 'received',
                now() - interval '1 hour'
         FROM numbers, generate_series(1, {count}) AS n"
    )
}

async fn run(sql: &PgPool, statements: &[&str]) -> Result<()> {
    for statement in statements {
        sqlx::query(AssertSqlSafe((*statement).to_owned())).execute(sql).await?;
    }
    for table in ["ordering.orders", "state_machine.states", "state_machine.transitions"] {
        sqlx::query(AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(sql).await?;
    }
    Ok(())
}

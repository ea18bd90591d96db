//! Several senders, of which some die, stop, or come back to life.

use std::time::Duration;

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_lab_smtp::{
    Action::{self, Accept, Silence},
    Phase, ScriptedServer,
};
use comanda_proto::v1::MailState::{Due, Sending, Sent};
use uuid::Uuid;

use super::world::{STATUSES, World, config};

const ANA: &str = "ana@example.com";

#[tokio::test]
async fn what_a_dead_owner_left_is_sent_by_another() -> Result<()> {
    let world = World::without_topic().await?;
    let order = world.order_with_mails(ANA, 1).await?;
    sqlx::query("UPDATE mails SET state = 3, attempts = 1, owner = gen_random_uuid() WHERE order_id = $1")
        .bind(order)
        .execute(&world.pool)
        .await?;
    let service = world.start(&[]).await?;
    assert_eq!(world.states(order, &[Sent]).await[0].attempts, 2);
    service.stop().await
}

#[tokio::test]
async fn a_living_owner_keeps_its_mails() -> Result<()> {
    let world = World::without_topic().await?;
    let (held, left) = (world.order_with_mails(ANA, 1).await?, world.order_with_mails(ANA, 1).await?);
    let (living, dead) = (Uuid::new_v4(), Uuid::new_v4());
    for (owner, order) in [(living, held), (dead, left)] {
        sqlx::query("UPDATE mails SET state = 3, attempts = 1, owner = $1 WHERE order_id = $2")
            .bind(owner)
            .bind(order)
            .execute(&world.pool)
            .await?;
    }
    let alive = "INSERT INTO mail_owners VALUES ($1, now() + interval '1 hour')";
    sqlx::query(alive).bind(living).execute(&world.pool).await?;
    let service = world.start(&[]).await?;
    world.states(left, &[Sent]).await;
    assert_eq!(world.rows(held).await[0].state, Sending as i16);
    service.stop().await
}

#[tokio::test]
async fn an_owner_that_was_stopped_on_the_wire_is_replaced_and_changes_nothing_when_it_goes_on() -> Result<()> {
    let world = World::without_topic().await?;
    let slow = ScriptedServer::start().await?;
    slow.once(Phase::Dot, Accept(Box::new(Silence)));
    let url = format!("--smtp-url={}", slow.url());
    let stopped = world.start_with(config(&[&url, "--smtp-data-timeout-ms=3000", "--smtp-connections=1"])).await?;
    let order = world.order_with_mails(ANA, 1).await?;
    world.states(order, &[Sending]).await;
    // As if its process had been stopped for longer than its row lives.
    world.sql("UPDATE mail_owners SET expires_at = now()").await?;
    let other = world.start(&[]).await?;
    let taken = world.states(order, &[Sent]).await.remove(0);
    assert_eq!((taken.attempts, &*taken.last_reply), (2, "250 2.0.0 accepted"));
    stopped.stop().await?;
    let after = world.rows(order).await.remove(0);
    assert_eq!((after.state, after.attempts, after.last_reply), (taken.state, taken.attempts, taken.last_reply));
    let copies = [slow.accepted(), world.smtp.accepted()].concat();
    assert_eq!(copies.len(), 2);
    assert_eq!(copies[0].header("Message-ID"), copies[1].header("Message-ID"));
    other.stop().await
}

#[tokio::test]
async fn an_owner_whose_row_has_ended_goes_on_under_another_name() -> Result<()> {
    let world = World::without_topic().await?;
    let service = world.start(&[]).await?;
    let first = world.order_with_mails(ANA, 1).await?;
    world.states(first, &[Sent]).await;
    world.sql("DELETE FROM mail_owners").await?;
    let second = world.order_with_mails(ANA, 2).await?;
    world.states(second, &[Sent; 2]).await;
    service.stop().await
}

#[tokio::test]
async fn mails_of_a_claim_whose_answer_never_came_are_sent() -> Result<()> {
    let world = World::without_topic().await?;
    world.commit_late("AFTER UPDATE ON mails", "WHEN (new.state = 3)").await?;
    let order = world.order_with_mails(ANA, 2).await?;
    let service = world.start(&[]).await?;
    world.states(order, &[Sent; 2]).await;
    assert_eq!(world.smtp.accepted().len(), 2);
    service.stop().await
}

#[tokio::test]
async fn several_senders_share_a_backlog_and_send_each_mail_once_and_in_order() -> Result<()> {
    let world = World::without_topic().await?;
    let mut orders = Vec::new();
    for _ in 0..50 {
        orders.push(world.order_with_mails(ANA, 4).await?);
    }
    let services = [world.start(&[]).await?, world.start(&[]).await?];
    for order in &orders {
        world.states(*order, &[Sent; 4]).await;
    }
    let accepted = world.smtp.accepted();
    assert_eq!(accepted.len(), 200);
    for order in orders {
        let order = order.to_string();
        let of_order = accepted.iter().filter(|mail| mail.header("X-Comanda-Order") == order);
        assert_eq!(of_order.map(|mail| mail.version()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
    for service in services {
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_gives_everything_back() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.always(Phase::Rcpt, Silence);
    let orders = [world.order_with_mails(ANA, 2).await?, world.order_with_mails(ANA, 1).await?];
    let service = world.start(&["--smtp-timeout-ms=60000", "--smtp-connections=1"]).await?;
    eventually("a sender is waiting for an answer", || async {
        (world.smtp.commands("RCPT").len() == 1).then_some(())
    })
    .await;
    let stopping = tokio::time::Instant::now();
    service.stop().await?;
    assert!(stopping.elapsed() < Duration::from_secs(5));
    for row in [world.rows(orders[0]).await, world.rows(orders[1]).await].concat() {
        assert_eq!((row.state, row.attempts), (Due as i16, 0));
    }
    let owners: i64 = sqlx::query_scalar("SELECT count(*) FROM mail_owners").fetch_one(&world.pool).await?;
    assert_eq!(owners, 0);
    Ok(())
}

#[tokio::test]
async fn a_retry_does_not_leave_the_later_mails_at_the_head_of_the_index() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.always(Phase::Rcpt, Action::reply("451 later"));
    let order = world.order_with_mails(ANA, 3).await?;
    let service = world.start(&["--mail-retry-delays=1h"]).await?;
    eventually("all wait", || async {
        let due_now =
            "SELECT count(*) FROM mails WHERE order_id = $1 AND next_try_time < now() + interval '40 minutes'";
        let count: i64 = sqlx::query_scalar(due_now).bind(order).fetch_one(&world.pool).await.ok()?;
        (count == 0).then_some(())
    })
    .await;
    service.stop().await
}

/// Fills the ledger with mails that are sent or wait for another day, and never analyzes it.
async fn fill(world: &World) -> Result<()> {
    world
        .sql(
            "INSERT INTO mails (order_id, version, tenant, status, transition_time, state, next_try_time)
             SELECT gen_random_uuid(), 1, 'default', 'received', now(), CASE WHEN n % 20 = 0 THEN 1 ELSE 4 END,
                    CASE WHEN n % 20 = 0 THEN now() + interval '1 day' END
             FROM generate_series(1, 20000) n",
        )
        .await
}

/// How many index entries of the ledger were read in this database.
async fn index_entries_read(world: World) -> Result<i64> {
    // What a connection has read shows when it has ended.
    world.pool.close().await;
    let sql = world.environment.sql().await?;
    eventually("the service's connections have ended", || async {
        let count =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'test'";
        let count: i64 = sqlx::query_scalar(count).fetch_one(&sql).await.ok()?;
        (count == 0).then_some(())
    })
    .await;
    let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'mails'";
    Ok(sqlx::query_scalar(read).fetch_one(&sql).await?)
}

#[tokio::test]
async fn the_work_for_a_mail_does_not_grow_with_the_ledger() -> Result<()> {
    let world = World::new().await?;
    fill(&world).await?;
    let service = world.start(&[]).await?;
    let (mut orders, mut records) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let order = world.order(ANA, &STATUSES).await?;
        // One record brings the whole history.
        records.push((order.to_string(), Vec::from("no transition")));
        orders.push(order);
    }
    world.produce(&records).await?;
    for order in orders {
        world.states(order, &[Sent; 4]).await;
    }
    service.stop().await?;
    let read = index_entries_read(world).await?;
    // Each claim also looks at what waits behind mails on their way; reading the ledger in each would be a million.
    assert!(read < 100_000, "200 mails took {read} index entries");
    Ok(())
}

#[tokio::test]
async fn the_work_for_a_retry_does_not_grow_with_the_ledger() -> Result<()> {
    let world = World::without_topic().await?;
    fill(&world).await?;
    world.smtp.always(Phase::Rcpt, Action::reply("451 later"));
    let mut orders = Vec::new();
    for _ in 0..50 {
        orders.push(world.order_with_mails(ANA, 4).await?);
    }
    // Tried again after all others: nothing in between may be read.
    let service = world.start(&["--mail-retry-delays=48h"]).await?;
    for order in orders {
        eventually("the mail was tried", || async { (world.rows(order).await[0].attempts == 1).then_some(()) }).await;
    }
    service.stop().await?;
    let read = index_entries_read(world).await?;
    assert!(read < 30_000, "50 retries took {read} index entries");
    Ok(())
}

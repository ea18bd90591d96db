//! Mails that are taken as they are entered: what becomes of them when their owner ends, or when the database's answer is lost.

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

/// Makes an order and tells the topic of its first statuses.
async fn publish(world: &World, count: usize) -> Result<Uuid> {
    let order = world.order(ANA, &STATUSES[..count]).await?;
    let transitions: Vec<_> = (1..).zip(STATUSES).take(count).collect();
    world.publish(order, &transitions).await?;
    Ok(order)
}

/// A mail that an owner took when it was entered.
async fn taken_by(world: &World, owner: Uuid) -> Result<Uuid> {
    let order = world.order_with_mails(ANA, 1).await?;
    let taken = "UPDATE mails SET state = 3, attempts = 1, owner = $1, next_try_time = NULL WHERE order_id = $2";
    sqlx::query(taken).bind(owner).bind(order).execute(&world.pool).await?;
    let claim = "INSERT INTO mail_claims (owner, order_ids, versions) VALUES ($1, ARRAY[$2], '{1}')";
    sqlx::query(claim).bind(owner).bind(order).execute(&world.pool).await?;
    Ok(order)
}

async fn claims(world: &World) -> i64 {
    let count = "SELECT count(*) FROM mail_claims";
    sqlx::query_scalar(count).fetch_one(&world.pool).await.expect("the database answers")
}

#[tokio::test]
async fn what_a_dead_owner_had_taken_is_sent_by_another_and_a_living_one_keeps_its_own() -> Result<()> {
    let world = World::without_topic().await?;
    let (dead, living) = (Uuid::new_v4(), Uuid::new_v4());
    let (left, held) = (taken_by(&world, dead).await?, taken_by(&world, living).await?);
    let alive = "INSERT INTO mail_owners VALUES ($1, now() + interval '1 hour')";
    sqlx::query(alive).bind(living).execute(&world.pool).await?;
    let service = world.start(&[]).await?;
    let row = world.states(left, &[Sent]).await.remove(0);
    assert_eq!(row.attempts, 2);
    assert_eq!(world.rows(held).await[0].state, Sending as i16);
    service.stop().await?;
    assert_eq!(claims(&world).await, 1);
    Ok(())
}

#[tokio::test]
async fn a_claim_lasts_until_its_last_mail_is_finished() -> Result<()> {
    let world = World::new().await?;
    let service = world.start(&["--smtp-timeout-ms=60000"]).await?;
    let order = publish(&world, 4).await?;
    world.states(order, &[Sent; 4]).await;
    assert_eq!(claims(&world).await, 0);
    world.smtp.always(Phase::Rcpt, Silence);
    let order = publish(&world, 1).await?;
    world.states(order, &[Sending]).await;
    assert_eq!(claims(&world).await, 1);
    service.stop().await
}

#[tokio::test]
async fn a_stop_gives_back_what_was_taken() -> Result<()> {
    let world = World::new().await?;
    world.smtp.always(Phase::Rcpt, Silence);
    let service = world.start(&["--smtp-timeout-ms=60000", "--smtp-connections=1"]).await?;
    let first = publish(&world, 2).await?;
    eventually("a sender waits for an answer", || async { (world.smtp.commands("RCPT").len() == 1).then_some(()) })
        .await;
    let second = publish(&world, 1).await?;
    // The one behind the first waits for it, and the one of the other order in the queue.
    world.states(first, &[Sending, Due]).await;
    world.states(second, &[Sending]).await;
    service.stop().await?;
    for row in [world.rows(first).await, world.rows(second).await].concat() {
        assert_eq!((row.state, row.attempts), (Due as i16, 0));
    }
    assert_eq!(claims(&world).await, 0);
    world.smtp.heal();
    let service = world.start(&[]).await?;
    world.states(first, &[Sent; 2]).await;
    world.states(second, &[Sent]).await;
    assert_eq!(world.smtp.accepted().len(), 3);
    service.stop().await
}

#[tokio::test]
async fn an_owner_that_was_replaced_while_the_server_was_silent_changes_nothing() -> Result<()> {
    let world = World::new().await?;
    let slow = ScriptedServer::start().await?;
    slow.once(Phase::Dot, Accept(Box::new(Silence)));
    let url = format!("--smtp-url={}", slow.url());
    let stopped = world.start_with(config(&[&url, "--smtp-data-timeout-ms=3000", "--smtp-connections=1"])).await?;
    let order = publish(&world, 1).await?;
    world.states(order, &[Sending]).await;
    world.sql("UPDATE mail_owners SET expires_at = now()").await?;
    let other = world.start(&[]).await?;
    let taken = world.states(order, &[Sent]).await.remove(0);
    stopped.stop().await?;
    let after = world.rows(order).await.remove(0);
    assert_eq!((after.state, after.attempts, after.last_reply), (Sent as i16, 2, taken.last_reply));
    let copies = [slow.accepted(), world.smtp.accepted()].concat();
    assert_eq!(copies.len(), 2);
    assert_eq!(copies[0].header("Message-ID"), copies[1].header("Message-ID"));
    other.stop().await
}

#[tokio::test]
async fn mails_whose_entering_was_never_answered_are_sent_once() -> Result<()> {
    let world = World::new().await?;
    world.commit_late("AFTER INSERT ON mail_claims", "").await?;
    let service = world.start(&[]).await?;
    let order = publish(&world, 2).await?;
    world.states(order, &[Sent; 2]).await;
    assert_eq!(world.smtp.accepted().len(), 2);
    service.stop().await?;
    assert_eq!(claims(&world).await, 0);
    Ok(())
}

#[tokio::test]
async fn a_mail_behind_one_that_is_retried_waits_for_it() -> Result<()> {
    let world = World::new().await?;
    world.smtp.once(Phase::Rcpt, Action::reply("451 later"));
    let service = world.start(&["--mail-retry-delays=1h"]).await?;
    let order = publish(&world, 2).await?;
    let other = publish(&world, 1).await?;
    world.states(other, &[Sent]).await;
    let rows = world.states(order, &[Due, Due]).await;
    assert_eq!((rows[0].attempts, rows[1].attempts), (1, 0));
    world.sql("UPDATE mails SET next_try_time = now() WHERE state = 1").await?;
    world.states(order, &[Sent; 2]).await;
    let versions = world
        .smtp
        .accepted()
        .iter()
        .filter(|mail| mail.header("X-Comanda-Order") == order.to_string())
        .map(|mail| mail.version())
        .collect::<Vec<_>>();
    assert_eq!(versions, [1, 2]);
    service.stop().await
}

#[tokio::test]
async fn a_server_that_takes_nothing_keeps_no_mail_out_of_the_ledger() -> Result<()> {
    let world = World::new().await?;
    world.smtp.always(Phase::Rcpt, Silence);
    let service = world.start(&["--smtp-timeout-ms=60000", "--smtp-connections=1"]).await?;
    let mut orders = Vec::new();
    for _ in 0..60 {
        orders.push(world.order(ANA, &STATUSES[..1]).await?);
    }
    world.produce(&orders.iter().map(|order| World::record(*order, 1, STATUSES[0])).collect::<Vec<_>>()).await?;
    eventually("all are entered", || async {
        let counts = "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 3) FROM mails";
        let (due, sending): (i64, i64) = sqlx::query_as(counts).fetch_one(&world.pool).await.ok()?;
        (due + sending == 60).then(|| assert!(sending <= 16, "{sending} mails are under way"))
    })
    .await;
    service.stop().await?;
    world.smtp.heal();
    let service = world.start(&[]).await?;
    for order in orders {
        world.states(order, &[Sent]).await;
    }
    service.stop().await
}

//! From the topic to the ledger: every transition once, in order, without holes.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_proto::v1::MailState::{Sent, Suppressed};
use uuid::Uuid;

use super::world::{SILENT, STATUSES, World};

fn numbered() -> Vec<(i64, &'static str)> {
    (1..).zip(STATUSES).collect()
}

#[tokio::test]
async fn four_transitions_are_four_mails_in_order() -> Result<()> {
    let world = World::new().await?;
    let service = world.start(&[]).await?;
    let order = world.order("ana@example.com", &STATUSES).await?;
    world.publish(order, &numbered()).await?;
    world.states(order, &[Sent; 4]).await;
    let accepted = world.smtp.accepted();
    let told: Vec<_> = accepted.iter().map(|mail| (mail.version(), mail.header("X-Comanda-Status"))).collect();
    assert_eq!(told, numbered().into_iter().map(|(version, status)| (version, status.to_owned())).collect::<Vec<_>>());
    assert!(accepted.iter().all(|mail| mail.to == ["ana@example.com"]));
    assert!(accepted[1].text().contains("Estado de tu pedido: preparing-es."));
    service.stop().await
}

#[tokio::test]
async fn repeated_records_send_nothing_twice() -> Result<()> {
    let world = World::new().await?;
    let service = world.start(&[]).await?;
    let order = world.order("ana@example.com", &STATUSES).await?;
    world.publish(order, &numbered()).await?;
    world.states(order, &[Sent; 4]).await;
    // The same records again, by a writer that repeats them and by a group that has lost its offsets.
    world.publish(order, &numbered()).await?;
    world.sql("UPDATE state_machine.topic_log SET topic_epoch = 2").await?;
    let last = world.order("eva@example.com", &STATUSES[..1]).await?;
    world.publish(last, &[(1, STATUSES[0])]).await?;
    world.states(last, &[Sent]).await;
    service.stop().await?;
    // A new service reads the whole topic under the new epoch.
    let service = world.start(&[]).await?;
    let marker = world.order("leo@example.com", &STATUSES[..1]).await?;
    world.publish(marker, &[(1, STATUSES[0])]).await?;
    world.states(marker, &[Sent]).await;
    assert_eq!(world.smtp.accepted().len(), 6);
    service.stop().await
}

#[tokio::test]
async fn a_hole_in_the_topic_is_filled_from_the_history() -> Result<()> {
    let world = World::new().await?;
    let service = world.start(&[]).await?;
    let order = world.order("ana@example.com", &STATUSES).await?;
    world.publish(order, &[(4, STATUSES[3])]).await?;
    world.states(order, &[Sent; 4]).await;
    let versions: Vec<_> = world.smtp.accepted().iter().map(|mail| mail.version()).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    service.stop().await
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_a_hint_and_one_without_an_order_a_dead_letter() -> Result<()> {
    let world = World::new().await?;
    let service = world.start(&[]).await?;
    let order = world.order("ana@example.com", &STATUSES[..2]).await?;
    let (nonsense, unknown) = (vec![0xff, 0xff], Uuid::now_v7().to_string());
    let records = [(order.to_string(), nonsense.clone()), (unknown, nonsense.clone()), ("no key".into(), nonsense)];
    world.produce(&records).await?;
    world.states(order, &[Sent; 2]).await;
    eventually("two dead letters", || async {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters").fetch_one(&world.pool).await.ok()?;
        (count == 2).then_some(())
    })
    .await;
    service.stop().await
}

#[tokio::test]
async fn without_an_address_or_a_template_the_mail_is_suppressed_but_in_the_ledger() -> Result<()> {
    let world = World::new().await?;
    let service = world.start(&[]).await?;
    let nobody = world.order("", &STATUSES[..2]).await?;
    world.publish(nobody, &[(1, STATUSES[0]), (2, STATUSES[1])]).await?;
    let silent = world.order("ana@example.com", &[STATUSES[0], SILENT, STATUSES[3]]).await?;
    world.publish(silent, &[(1, STATUSES[0]), (2, SILENT), (3, STATUSES[3])]).await?;
    world.states(nobody, &[Suppressed; 2]).await;
    world.states(silent, &[Sent, Suppressed, Sent]).await;
    assert_eq!(world.smtp.accepted().len(), 2);
    service.stop().await
}

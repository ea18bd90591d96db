//! MailService, and mails as files.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_lab_smtp::{Action, Phase};
use comanda_proto::{
    errors::reason,
    v1::MailState::{self, Dead, Due, Sent, Suppressed},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::world::{STATUSES, World, config};

const ANA: &str = "ana@example.com";

fn error<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("an error");
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    (status.code(), reason)
}

#[tokio::test]
async fn the_list_shows_each_mail_page_by_page() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.once(Phase::Rcpt, Action::reply("550 5.1.1 unknown"));
    let order = world.order_with_mails(ANA, 4).await?;
    let service = world.start(&[]).await?;
    world.states(order, &[Dead, Sent, Sent, Sent]).await;
    let (first, token) = service.list(order, 3, "").await?;
    let (second, end) = service.list(order, 3, &token).await?;
    assert_eq!((first.len(), second.len(), &*end), (3, 1, ""));
    let versions: Vec<_> = first.iter().chain(&second).map(|mail| mail.version).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    assert_eq!((first[0].state(), &*first[0].last_reply), (Dead, "550 5.1.1 unknown"));
    assert_eq!((&*first[1].recipient, first[1].attempts, &*first[1].status), (ANA, 1, STATUSES[1]));
    assert_eq!(first[1].message_id, format!("<{order}.2.0@comanda.localhost>"));
    assert!(first[1].next_try_time.is_none() && first[1].update_time.is_some());
    service.stop().await
}

#[tokio::test]
async fn a_wrong_list_request_is_refused() -> Result<()> {
    let world = World::without_topic().await?;
    let service = world.start(&[]).await?;
    let order = world.order(ANA, &STATUSES).await?;
    assert_eq!(service.list(order, 0, "").await?.0, []);
    let invalid = (Code::InvalidArgument, reason::INVALID_FIELDS.to_owned());
    assert_eq!(service.list(order, 100_000, "").await?.0, []);
    assert_eq!(error(service.list(order, -1, "").await), invalid);
    assert_eq!(error(service.list(order, 1, "nonsense").await), invalid);
    let not_found = (Code::NotFound, reason::ORDER_NOT_FOUND.to_owned());
    assert_eq!(error(service.list(Uuid::now_v7(), 0, "").await), not_found);
    service.stop().await
}

#[tokio::test]
async fn a_mail_is_sent_again_as_a_copy_with_a_message_id_of_its_own() -> Result<()> {
    let world = World::without_topic().await?;
    let order = world.order_with_mails(ANA, 2).await?;
    let service = world.start(&[]).await?;
    world.states(order, &[Sent; 2]).await;
    let copy = service.resend(order, 1).await?;
    // A sender may have taken it before the answer was read.
    assert_eq!((copy.version, copy.copy), (1, 1));
    assert!([MailState::Due, MailState::Sending].contains(&copy.state()), "{:?}", copy.state());
    world.states(order, &[Sent; 3]).await;
    let ids: Vec<_> = world.smtp.accepted().iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids, [(1, 0), (2, 0), (1, 1)].map(|(v, c)| format!("<{order}.{v}.{c}@comanda.localhost>")));
    assert_eq!(copy.message_id, ids[2]);
    service.stop().await
}

#[tokio::test]
async fn a_mail_that_is_not_finished_or_was_never_due_is_not_sent_again() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.always(Phase::Rcpt, Action::reply("451 later"));
    let order = world.order_with_mails(ANA, 2).await?;
    world.sql("UPDATE mails SET state = 6, status = 'archived', next_try_time = NULL WHERE version = 2").await?;
    let service = world.start(&["--mail-retry-delays=1h"]).await?;
    world.states(order, &[Due, Suppressed]).await;
    let precondition = |reason: &str| (Code::FailedPrecondition, reason.to_owned());
    assert_eq!(error(service.resend(order, 1).await), precondition(reason::MAIL_PENDING));
    assert_eq!(error(service.resend(order, 2).await), precondition(reason::MAIL_NOT_DUE));
    assert_eq!(error(service.resend(order, 3).await), (Code::NotFound, reason::MAIL_NOT_FOUND.to_owned()));
    assert_eq!(error(service.resend(Uuid::now_v7(), 1).await).1, reason::ORDER_NOT_FOUND);
    assert_eq!(error(service.resend(order, 0).await).0, Code::InvalidArgument);
    service.stop().await
}

#[tokio::test]
async fn mails_can_be_files() -> Result<()> {
    let world = World::without_topic().await?;
    let directory = std::env::temp_dir().join(format!("comanda-mails-{}", Uuid::new_v4()));
    let order = world.order_with_mails(ANA, 2).await?;
    let service = world.start_with_directory(&directory).await?;
    world.states(order, &[Sent; 2]).await;
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = std::fs::read_dir(&directory)?.map(name).collect::<Result<_>>()?;
    names.sort();
    assert_eq!(names, [format!("1-1-0-{order}.eml"), format!("1-2-0-{order}.eml")]);
    let text = std::fs::read_to_string(directory.join(&names[0]))?;
    assert!(text.contains("Subject: Pedido 1 Producto: Mole\r\n"));
    // Another database counts from 1 as well.
    let other = World::without_topic().await?;
    let other_order = other.order_with_mails(ANA, 1).await?;
    let other_service = other.start_with_directory(&directory).await?;
    other.states(other_order, &[Sent]).await;
    assert_eq!(std::fs::read_dir(&directory)?.count(), 3);
    assert_eq!(std::fs::read_to_string(directory.join(&names[0]))?, text);
    other_service.stop().await?;
    service.stop().await?;
    Ok(std::fs::remove_dir_all(directory)?)
}

#[tokio::test]
async fn without_a_transport_mails_wait() -> Result<()> {
    let world = World::new().await?;
    let service = world.start_with(config(&[])).await?;
    let order = world.order(ANA, &STATUSES[..1]).await?;
    world.publish(order, &[(1, STATUSES[0])]).await?;
    world.states(order, &[Due]).await;
    service.stop().await
}

#[tokio::test]
async fn nobody_can_write_a_header_or_a_recipient() -> Result<()> {
    let world = World::without_topic().await?;
    let evil = world.order_with_mails("ana@example.com>\r\nRCPT TO:<eve@example.com", 1).await?;
    let named = world.order_with_mails(ANA, 1).await?;
    sqlx::query("UPDATE ordering.orders SET customer_name = $2 WHERE order_id = $1")
        .bind(named)
        .bind("Ana\r\nBcc: eve@example.com\r\n\r\nHola")
        .execute(&world.pool)
        .await?;
    let service = world.start(&[]).await?;
    world.states(evil, &[Dead]).await;
    world.states(named, &[Sent]).await;
    assert_eq!(world.smtp.commands("RCPT").len(), 1);
    let text = world.smtp.accepted().remove(0).text();
    let head = text.split("\n\n").next().unwrap_or_default();
    assert!(head.lines().all(|line| !line.starts_with("Bcc")), "{head}");
    service.stop().await
}

#[tokio::test]
async fn an_erased_address_gets_no_mail() -> Result<()> {
    let world = World::without_topic().await?;
    let order = world.order_with_mails("", 1).await?;
    let service = world.start(&[]).await?;
    world.states(order, &[Suppressed]).await;
    eventually("nothing was sent", || async { world.smtp.accepted().is_empty().then_some(()) }).await;
    service.stop().await
}

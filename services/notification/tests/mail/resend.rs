//! Sending mails again: once for each request, by filter, and never those of another tenant.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_proto::{
    errors::reason,
    v1::{
        ListMailsRequest, Mail, MailFilter,
        MailState::{self, Dead, Sent},
        ResendDeadMailsRequest,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::world::{STATUSES, World, config};

const ANA: &str = "ana@example.com";

fn reason_of<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("an error");
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

/// An order whose first mails are dead, with these replies.
async fn dead(world: &World, tenant: &str, replies: &[&str]) -> Result<Uuid> {
    let order = world.order_of_with_mails(tenant, ANA, replies.len()).await?;
    for (version, reply) in (1i64..).zip(replies) {
        sqlx::query(
            "UPDATE mails
             SET state = 5, attempts = 1, next_try_time = NULL, undelivered_time = now(), last_reply = $3
             WHERE order_id = $1 AND version = $2",
        )
        .bind(order)
        .bind(version)
        .bind(reply)
        .execute(&world.pool)
        .await?;
    }
    Ok(order)
}

#[tokio::test]
async fn a_repeated_request_makes_one_copy_and_is_bound_to_its_mail() -> Result<()> {
    let world = World::without_topic().await?;
    let order = world.order_with_mails(ANA, 2).await?;
    let service = world.start(&[]).await?;
    world.states(order, &[Sent; 2]).await;
    let id = Uuid::new_v4().to_string();
    let first = service.resend_once(order, 1, &id).await?;
    world.states(order, &[Sent; 3]).await;
    let second = service.resend_once(order, 1, &id).await?;
    assert_eq!((first.replayed, second.replayed), (false, true));
    let message_id = |mail: &Option<Mail>| mail.clone().unwrap_or_default().message_id;
    assert_eq!(message_id(&first.mail), message_id(&second.mail));
    let mismatch = (Code::InvalidArgument, reason::IDEMPOTENCY_MISMATCH.to_owned());
    let other = world.order_with_mails(ANA, 1).await?;
    world.states(other, &[Sent]).await;
    assert_eq!(reason_of(service.resend_once(order, 2, &id).await), mismatch);
    assert_eq!(reason_of(service.resend_once(other, 1, &id).await), mismatch);
    for wrong in ["x", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"] {
        assert_eq!(reason_of(service.resend_once(order, 1, wrong).await).0, Code::InvalidArgument);
    }
    assert_eq!(world.smtp.accepted().len(), 4);
    service.stop().await
}

#[tokio::test]
async fn calls_at_the_same_time_with_one_request_id_make_one_copy() -> Result<()> {
    let world = World::without_topic().await?;
    let order = dead(&world, "default", &["550 no"]).await?;
    let service = world.start_with(config(&[])).await?;
    let id = Uuid::new_v4().to_string();
    let calls = futures::future::join_all((0..8).map(|_| service.resend_once(order, 1, &id))).await;
    let copies: Vec<_> = calls.into_iter().map(|call| call.map(|copy| copy.mail.unwrap_or_default().copy)).collect();
    assert!(copies.iter().all(|copy| matches!(copy, Ok(1))), "{copies:?}");
    assert_eq!(world.rows(order).await.len(), 2);
    service.stop().await
}

#[tokio::test]
async fn dead_mails_are_listed_with_their_reasons_and_by_filter() -> Result<()> {
    let world = World::without_topic().await?;
    let first = dead(&world, "default", &["550 Sender REJECTED", "552 too big"]).await?;
    let second = dead(&world, "default", &["550 sender rejected"]).await?;
    let service = world.start_with(config(&[])).await?;
    let all = service.undelivered().await?;
    let shown: Vec<_> = all.iter().map(|mail| (&*mail.order_id, mail.version, &*mail.last_reply)).collect();
    let (first, second) = (first.to_string(), second.to_string());
    assert_eq!(
        shown,
        [(&*first, 1, "550 Sender REJECTED"), (&*first, 2, "552 too big"), (&*second, 1, "550 sender rejected")]
    );
    assert!(all.iter().all(|mail| mail.undelivered_time.is_some() && mail.state() == Dead && mail.number > 0));
    let count = async |filter: MailFilter| -> Result<usize, Status> {
        let request = ListMailsRequest { filter: Some(filter), ..Default::default() };
        Ok(service.client().list_mails(request).await?.into_inner().mails.len())
    };
    let (from, before) = (all[1].undelivered_time, all[2].undelivered_time);
    assert_eq!(count(MailFilter { reply_contains: "Sender rejected".into(), ..Default::default() }).await?, 2);
    assert_eq!(count(MailFilter { statuses: vec![STATUSES[1].into()], ..Default::default() }).await?, 1);
    assert_eq!(count(MailFilter { undelivered_from_time: from, ..Default::default() }).await?, 2);
    let one = MailFilter { undelivered_from_time: from, undelivered_before_time: before, ..Default::default() };
    assert_eq!(count(one).await?, 1);
    assert_eq!(count(MailFilter { states: vec![MailState::Suppressed.into()], ..Default::default() }).await?, 0);
    let page = ListMailsRequest { page_size: 2, ..Default::default() };
    let page = service.client().list_mails(page).await?.into_inner();
    let rest = ListMailsRequest { page_token: page.next_page_token, ..Default::default() };
    let rest = service.client().list_mails(rest).await?.into_inner();
    assert_eq!([page.mails, rest.mails].concat(), all);
    service.stop().await
}

#[tokio::test]
async fn dead_mails_are_sent_again_by_filter_each_once() -> Result<()> {
    let world = World::without_topic().await?;
    let first = dead(&world, "default", &["550 sender rejected", "552 too big"]).await?;
    let second = dead(&world, "default", &["550 sender rejected"]).await?;
    let service = world.start(&[]).await?;
    let wanted = ResendDeadMailsRequest { reply_contains: "SENDER".into(), max_mails: 1, ..Default::default() };
    let answer = service.resend_dead(wanted.clone()).await?;
    assert_eq!((answer.resent_count, answer.more_remain), (1, true));
    world.states(first, &[Dead, Sent, Dead]).await;
    assert!(answer.selection_time.is_some());
    let answers = [service.resend_dead(wanted.clone()).await?, service.resend_dead(wanted).await?];
    assert_eq!(answers.map(|answer| answer.resent_count), [1, 0]);
    world.states(second, &[Dead, Sent]).await;
    assert_eq!(service.undelivered().await?.len(), 1);
    // A copy that dies as well is undelivered again.
    world.sql("UPDATE mails SET state = 5, undelivered_time = now() WHERE copy = 1 AND version = 1").await?;
    let before = ResendDeadMailsRequest { died_before_time: answer.selection_time, ..Default::default() };
    assert_eq!(service.resend_dead(before).await?.resent_count, 1, "only the one that was dead by then");
    let answer = service.resend_dead(ResendDeadMailsRequest::default()).await?;
    assert_eq!((answer.resent_count, answer.more_remain), (2, false));
    world.states(first, &[Dead, Dead, Sent, Dead, Sent]).await;
    world.states(second, &[Dead, Dead, Sent]).await;
    service.stop().await
}

#[tokio::test]
async fn nothing_of_another_tenant_can_be_seen_or_sent() -> Result<()> {
    let world = World::without_topic().await?;
    let theirs = dead(&world, "acme", &["550 no"]).await?;
    let ours = dead(&world, "default", &["550 no"]).await?;
    let service = world.start_with(config(&[])).await?;
    let missing = Uuid::now_v7();
    let told = |status: Status, id: Uuid| {
        (
            status.code(),
            status.message().replace(&id.to_string(), "ID"),
            status.get_details_error_info().map(|info| info.reason),
        )
    };
    let (foreign, none) = (service.list(theirs, 0, "").await, service.list(missing, 0, "").await);
    assert_eq!(told(foreign.expect_err("foreign"), theirs), told(none.expect_err("missing"), missing));
    let (foreign, none) = (service.resend(theirs, 1).await, service.resend(missing, 1).await);
    assert_eq!(told(foreign.expect_err("foreign"), theirs), told(none.expect_err("missing"), missing));
    let listed = service.undelivered().await?;
    assert_eq!(listed.iter().map(|mail| &*mail.order_id).collect::<Vec<_>>(), [ours.to_string()]);
    assert_eq!(service.resend_dead(ResendDeadMailsRequest::default()).await?.resent_count, 1);
    assert_eq!(world.rows(theirs).await.len(), 1);
    // A request id of one tenant means nothing to another, and neither does a page token.
    let acme = world.start_for("acme", config(&[])).await?;
    let id = Uuid::new_v4().to_string();
    assert!(!acme.resend_once(theirs, 1, &id).await?.replayed);
    sqlx::query("UPDATE mails SET state = 4, next_try_time = NULL").execute(&world.pool).await?;
    assert!(!service.resend_once(ours, 1, &id).await?.replayed);
    let more = dead(&world, "default", &["550 no", "550 no"]).await?;
    let (_, token) = service.list(more, 1, "").await?;
    assert_eq!(reason_of(acme.list(more, 1, &token).await).0, Code::InvalidArgument);
    eventually("nothing is sent without a transport", || async { world.smtp.accepted().is_empty().then_some(()) })
        .await;
    acme.stop().await?;
    service.stop().await
}

//! The outcome of a mail when the server does not accept it at once.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_lab_smtp::{
    Action::{self, Accept, Cut, Silence},
    Phase,
};
use comanda_proto::v1::MailState::{Dead, Due, Sent};

use super::world::{World, config};

const ANA: &str = "ana@example.com";

#[tokio::test]
async fn a_451_is_retried_with_the_same_message_id_and_the_next_mail_waits() -> Result<()> {
    let world = World::without_topic().await?;
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot] {
        world.smtp.once(phase, Action::reply("451 4.3.0 later"));
    }
    let order = world.order_with_mails(ANA, 2).await?;
    let service = world.start(&[]).await?;
    let rows = world.states(order, &[Sent; 2]).await;
    assert_eq!((rows[0].attempts, rows[1].attempts), (5, 1));
    let accepted = world.smtp.accepted();
    assert_eq!(accepted.iter().map(|mail| mail.version()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(accepted[0].header("Message-ID"), format!("<{order}.1.0@comanda.localhost>"));
    service.stop().await
}

#[tokio::test]
async fn after_the_last_retry_a_mail_is_dead_and_the_next_one_goes_on() -> Result<()> {
    let world = World::without_topic().await?;
    for _ in 0..3 {
        world.smtp.once(Phase::Rcpt, Action::reply("451 4.3.0 later"));
    }
    let order = world.order_with_mails(ANA, 2).await?;
    let service = world.start(&["--mail-retry-delays=10ms,10ms"]).await?;
    let rows = world.states(order, &[Dead, Sent]).await;
    assert_eq!(rows[0].last_reply, "given up after 3 tries: 451 4.3.0 later");
    service.stop().await
}

#[tokio::test]
async fn a_550_kills_its_mail_and_the_next_one_of_the_order_goes_on() -> Result<()> {
    let world = World::without_topic().await?;
    for phase in [Phase::Rcpt, Phase::Data, Phase::Dot] {
        world.smtp.once(phase, Action::reply("550 5.1.1 unknown: ana@example.com"));
    }
    let order = world.order_with_mails(ANA, 4).await?;
    let service = world.start(&[]).await?;
    let rows = world.states(order, &[Dead, Dead, Dead, Sent]).await;
    assert!(rows[..3].iter().all(|row| row.attempts == 1 && row.last_reply == "550 5.1.1 unknown: (recipient)"));
    service.stop().await
}

#[tokio::test]
async fn a_refusal_of_the_sender_pauses_everything_and_kills_nothing() -> Result<()> {
    for (phase, line) in [
        (Phase::Greeting, "554 not you"),
        (Phase::Hello, "550 not you"),
        (Phase::Auth, "535 wrong password"),
        (Phase::Mail, "550 not from there"),
    ] {
        let world = World::without_topic().await?;
        world.smtp.always(phase, Action::reply(line));
        let orders = [world.order_with_mails(ANA, 1).await?, world.order_with_mails(ANA, 1).await?];
        let service = world.start_with(config(&[&format!("--smtp-url={}", world.smtp.url_with_user())])).await?;
        eventually("the server has refused us some times", || async { (world.smtp.connections() >= 6).then_some(()) })
            .await;
        world.smtp.heal();
        for order in orders {
            let rows = world.states(order, &[Sent]).await;
            assert_eq!(rows[0].attempts, 1, "{phase:?} used up tries");
        }
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_reason_of_a_pause_stands_in_the_ledger() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.always(Phase::Auth, Action::reply("535 wrong password"));
    let order = world.order_with_mails(ANA, 1).await?;
    let service = world.start_with(config(&[&format!("--smtp-url={}", world.smtp.url_with_user())])).await?;
    eventually("the error is shown", || async {
        let row = world.rows(order).await.remove(0);
        (row.state == Due as i16 && row.attempts == 0 && row.last_reply == "535 wrong password").then_some(())
    })
    .await;
    service.stop().await
}

#[tokio::test]
async fn a_server_without_the_demanded_encryption_gets_nothing() -> Result<()> {
    let world = World::without_topic().await?;
    let order = world.order_with_mails(ANA, 1).await?;
    let service = world.start_with(config(&[&format!("--smtp-url={}?tls=required", world.smtp.url())])).await?;
    eventually("the reason is shown", || async {
        world.rows(order).await[0].last_reply.contains("STARTTLS is not supported").then_some(())
    })
    .await;
    assert!(world.smtp.accepted().is_empty());
    service.stop().await
}

/// One connection meets a server that falls silent (or hangs up); the mails of other orders go on over the others, and that one is
/// sent in the end. Up to MAIL it is not the mail's fault: it is tried at once over a fresh connection, which uses up no try.
async fn goes_on(phase: Phase, action: Action, copies: usize) -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.once(phase, action.clone());
    let mut orders = Vec::new();
    for _ in 0..6 {
        orders.push(world.order_with_mails(ANA, 1).await?);
    }
    let service = world.start(&["--smtp-connections=2"]).await?;
    let mut ambiguous = 0;
    for order in &orders {
        let row = world.states(*order, &[Sent]).await.remove(0);
        ambiguous += usize::from(row.attempts > 1);
    }
    let mut ids: Vec<_> = world.smtp.accepted().iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids.len(), orders.len() + copies, "{phase:?} {action:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), orders.len(), "copies have the same Message-ID: {phase:?} {action:?}");
    assert_eq!(
        ambiguous,
        usize::from(!matches!(phase, Phase::Greeting | Phase::Hello | Phase::Mail)),
        "{phase:?} {action:?}"
    );
    service.stop().await
}

#[tokio::test]
async fn a_server_that_falls_silent_or_hangs_up_delays_one_mail() -> Result<()> {
    for phase in [Phase::Greeting, Phase::Hello, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot] {
        goes_on(phase, Silence, 0).await?;
        goes_on(phase, Cut, 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_mail_whose_250_was_lost_is_sent_again_with_the_same_message_id() -> Result<()> {
    goes_on(Phase::Dot, Accept(Box::new(Cut)), 1).await?;
    goes_on(Phase::Dot, Accept(Box::new(Silence)), 1).await
}

#[tokio::test]
async fn an_ambiguous_mail_says_so() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.once(Phase::Dot, Accept(Box::new(Cut)));
    let order = world.order_with_mails(ANA, 1).await?;
    let service = world.start(&["--mail-retry-delays=1h"]).await?;
    eventually("the ambiguity is written", || async {
        let row = world.rows(order).await.remove(0);
        (row.state == Due as i16 && row.last_reply.starts_with("ambiguous: ")).then_some(())
    })
    .await;
    service.stop().await
}

#[tokio::test]
async fn replies_are_never_taken_for_those_of_another_mail() -> Result<()> {
    // A timeout while the server thinks, and a server that says something unasked: on a connection that is used further,
    // every later reply would answer the command before, and a refused mail would count as sent.
    let world = World::without_topic().await?;
    world.smtp.once(Phase::Mail, Silence);
    world.smtp.once(Phase::Rcpt, Action::Twice("250 and this".into()));
    let first = world.order_with_mails(ANA, 1).await?;
    let service = world.start(&["--smtp-connections=1"]).await?;
    world.states(first, &[Sent]).await;
    world.smtp.once(Phase::Dot, Action::Twice("250 and this".into()));
    let second = world.order_with_mails(ANA, 1).await?;
    world.states(second, &[Sent]).await;
    world.smtp.always(Phase::Dot, Action::reply("554 5.6.0 refused"));
    let third = world.order_with_mails(ANA, 1).await?;
    world.states(third, &[Dead]).await;
    assert_eq!(world.smtp.accepted().len(), 2);
    service.stop().await
}

#[tokio::test]
async fn a_kept_connection_that_the_server_has_closed_costs_no_try() -> Result<()> {
    for action in [Cut, Action::reply("421 idle for too long")] {
        let world = World::without_topic().await?;
        let service = world.start(&["--smtp-connections=1"]).await?;
        let first = world.order_with_mails(ANA, 1).await?;
        world.states(first, &[Sent]).await;
        world.smtp.once(Phase::Mail, action);
        let second = world.order_with_mails(ANA, 1).await?;
        assert_eq!(world.states(second, &[Sent]).await[0].attempts, 1);
        assert_eq!(world.smtp.connections(), 2);
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_is_used_for_many_mails() -> Result<()> {
    let world = World::without_topic().await?;
    let orders = [world.order_with_mails(ANA, 4).await?, world.order_with_mails(ANA, 4).await?];
    let service = world.start(&["--smtp-connections=1"]).await?;
    for order in orders {
        world.states(order, &[Sent; 4]).await;
    }
    assert_eq!(world.smtp.connections(), 1);
    service.stop().await
}

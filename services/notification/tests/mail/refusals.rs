//! Whom a refusal is about, and what it does to the other mails.

use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_lab_smtp::{Action, Dialect, Phase};
use comanda_proto::v1::MailState::{Dead, Due, Sent};
use uuid::Uuid;

use super::world::World;

const ANA: &str = "ana@example.com";

/// Orders of as many customers, each with one mail.
async fn customers(world: &World, count: usize) -> Result<Vec<Uuid>> {
    let mut orders = Vec::new();
    for n in 0..count {
        orders.push(world.order_with_mails(&format!("cliente-{n}@example.com"), 1).await?);
    }
    Ok(orders)
}

/// All of them wait or are being tried, none is dead, and the reply is shown.
async fn wait_with(world: &World, orders: &[Uuid], reply: &str) {
    eventually("a mail shows the reply", || async {
        for order in orders {
            let row = world.rows(*order).await.remove(0);
            assert_ne!(row.state, Dead as i16, "{}", row.last_reply);
            if row.last_reply.contains(reply) {
                return Some(());
            }
        }
        None
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_us_kills_no_mail_wherever_it_is_told() -> Result<()> {
    for (phase, reply) in [
        (Phase::Rcpt, "550 5.7.1 <cocina-2>: Helo command rejected: no such host"),
        (Phase::Rcpt, "554 5.7.1 Service unavailable; Client host [10.1.2.3] blocked using bl.example"),
        (Phase::Rcpt, "553 sorry, relaying denied from your location (#5.7.1)"),
        (Phase::Data, "554 5.7.1 Sender address rejected: not owned by user"),
        (Phase::Dot, "550 From address is not verified with this account"),
        (Phase::Dot, "550 5.4.5 Hourly sending limit reached, try tomorrow"),
    ] {
        let world = World::without_topic().await?;
        world.smtp.always(phase, Action::reply(reply));
        let orders = customers(&world, 6).await?;
        let service = world.start(&[]).await?;
        wait_with(&world, &orders, reply).await;
        eventually("the server has refused several times", || async { (world.smtp.connections() >= 4).then_some(()) })
            .await;
        world.smtp.heal();
        for order in orders {
            let rows = world.states(order, &[Sent]).await;
            assert_eq!(rows[0].attempts, 1, "{reply} used up tries");
        }
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_text_for_several_recipients_is_about_us() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.always(Phase::Rcpt, Action::reply("550 Rejected"));
    let orders = customers(&world, 8).await?;
    let service = world.start(&["--mail-retry-delays=50ms,50ms,50ms,50ms"]).await?;
    eventually("the server has refused many times", || async {
        (world.smtp.commands("RCPT").len() >= 8).then_some(())
    })
    .await;
    wait_with(&world, &orders, "550 Rejected").await;
    world.smtp.heal();
    for order in orders {
        world.states(order, &[Sent]).await;
    }
    service.stop().await
}

#[tokio::test]
async fn a_recipient_who_is_refused_alone_delays_nobody_and_dies_in_the_end() -> Result<()> {
    for (reply, tries) in [("550 Rejected", 3), ("554 5.7.1 Relay access denied", 4)] {
        let world = World::without_topic().await?;
        world.smtp.when(Phase::Rcpt, "eva@", Action::reply(reply));
        let service = world.start(&["--mail-retry-delays=50ms,50ms,50ms", "--smtp-connections=1"]).await?;
        let refused = world.order_with_mails("eva@example.com", 1).await?;
        wait_with(&world, &[refused], reply).await;
        // The server takes others meanwhile.
        let mut row = world.rows(refused).await.remove(0);
        while row.state != Dead as i16 {
            let other = world.order_with_mails(ANA, 1).await?;
            world.states(other, &[Sent]).await;
            row = world.rows(refused).await.remove(0);
        }
        assert_eq!(row.attempts, tries, "{reply}: {}", row.last_reply);
        assert!(row.last_reply.contains(reply));
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_mailbox_is_tried_again() -> Result<()> {
    let world = World::without_topic().await?;
    world.smtp.once(Phase::Rcpt, Action::reply("552 5.2.2 over quota"));
    let order = world.order_with_mails(ANA, 1).await?;
    let service = world.start(&[]).await?;
    assert_eq!(world.states(order, &[Sent]).await[0].attempts, 2);
    service.stop().await
}

#[tokio::test]
async fn an_extension_that_is_refused_or_missing_kills_only_the_mail_that_needs_it() -> Result<()> {
    for offers in [&["8BITMIME", "SMTPUTF8"][..], &["8BITMIME"]] {
        let world = World::without_topic().await?;
        world.smtp.offer(offers);
        world.smtp.when(Phase::Mail, "SMTPUTF8", Action::reply("504 5.5.4 SMTPUTF8 is not available"));
        let foreign = world.order_with_mails("piñón@example.com", 1).await?;
        let domain = world.order_with_mails("ana@piñata.example", 1).await?;
        let plain = world.order_with_mails(ANA, 1).await?;
        let service = world.start(&["--smtp-connections=1"]).await?;
        let row = world.states(foreign, &[Dead]).await.remove(0);
        assert!(row.last_reply.contains("SMTPUTF8"), "{}", row.last_reply);
        world.states(domain, &[Sent]).await;
        world.states(plain, &[Sent]).await;
        assert_eq!(world.smtp.commands("RCPT TO:<ana@xn--").len(), 1);
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_dialect_of_replies_sends_every_mail_once() -> Result<()> {
    for dialect in Dialect::ALL {
        let world = World::without_topic().await?;
        world.smtp.speak(dialect);
        let orders = [world.order_with_mails(ANA, 2).await?, world.order_with_mails(ANA, 2).await?];
        let service = world.start(&[]).await?;
        for order in orders {
            let rows = world.states(order, &[Sent; 2]).await;
            assert!(
                rows.iter().all(|row| row.attempts == 1 && row.last_reply.starts_with("250")),
                "{dialect:?} {rows:?}"
            );
        }
        assert_eq!(world.smtp.accepted().len(), 4, "{dialect:?}");
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reply_does_not_bring_an_address_into_the_ledger() -> Result<()> {
    let world = World::without_topic().await?;
    let reply = "550 5.1.1 <Ana@Example.com> moved to ana.rojas@other.example, says pedidos@comanda.localhost";
    world.smtp.always(Phase::Rcpt, Action::reply(reply));
    let order = world.order_with_mails(ANA, 1).await?;
    let service = world.start(&[]).await?;
    let row = world.states(order, &[Dead]).await.remove(0);
    assert_eq!(row.last_reply, "550 5.1.1 <(recipient)> moved to (recipient), says pedidos@comanda.localhost");
    service.stop().await
}

#[tokio::test]
async fn a_mail_that_was_never_tried_in_time_is_suppressed_and_can_still_be_sent() -> Result<()> {
    let world = World::without_topic().await?;
    let old = world.order_with_mails(ANA, 2).await?;
    let new = world.order_with_mails(ANA, 1).await?;
    let tried = world.order_with_mails(ANA, 1).await?;
    for (order, hours, attempts) in [(old, 5, 0), (new, 2, 0), (tried, 5, 1)] {
        let age =
            "UPDATE mails SET transition_time = now() - make_interval(hours => $2), attempts = $3 WHERE order_id = $1";
        sqlx::query(age).bind(order).bind(hours).bind(attempts).execute(&world.pool).await?;
    }
    let service = world.start(&["--mail-max-age-hours=3"]).await?;
    let rows = world.states(old, &[comanda_proto::v1::MailState::Suppressed; 2]).await;
    assert_eq!((rows[0].attempts, &*rows[0].last_reply), (0, "older than the maximum age of mails"));
    world.states(new, &[Sent]).await;
    world.states(tried, &[Sent]).await;
    assert_eq!(service.undelivered().await?.len(), 2);
    service.resend(old, 2).await?;
    eventually("the copy is sent", || async { (world.smtp.accepted().len() == 3).then_some(()) }).await;
    assert_eq!(service.undelivered().await?.len(), 1);
    assert_eq!(world.rows(old).await.iter().filter(|row| row.state == Due as i16).count(), 0);
    service.stop().await
}

//! The mail server is away until nearly all tries are used up.

use std::{iter::successors, sync::Arc, time::Duration};

use anyhow::Result;
use comanda_checker::history::What;
use futures::{FutureExt, future::LocalBoxFuture};
use tokio::time::sleep;

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Terms, Trial, replicas, step},
};
use crate::{
    cluster::{Class, Role},
    nemesis::{Field, Hurt, Kind, Step},
    smtp::{Mode, Phase},
    workload,
};

/// For a server that refuses, and for the others: 20,000 orders, and 10,000.
const LONG_MS: u64 = 80_000;
const SHORT_MS: u64 = 35_000;
const ORDERS_PER_SECOND: f64 = 220.0;
/// Connections of each replica to the mail server; there are two replicas. With so many the backlog is sent soon.
const CONNECTIONS: u64 = 16;
/// Answers that are lost when the link to the mail server breaks: at most one on each connection.
const IN_FLIGHT: u64 = 2 * CONNECTIONS;
/// Clients' first seconds.
const BEFORE_MS: u64 = 15_000;
/// Each wait is twice the one before: in units of the first, so long until the last try but one, which fails also where each wait is a
/// fifth longer, and the last succeeds though each is a fifth shorter.
const UNITS: u64 = 42;
const WAITS: usize = 6;

/// Nobody can connect.
pub const REFUSING: Trial = Trial {
    name: "mail-server-refusing",
    about: "The mail server refuses connections for 80 s under 20,000 orders: no mail is lost, watchers do not notice",
    plan: |terms| plan(terms, LONG_MS, link(terms, LONG_MS, Hurt::Refusing)),
    act: None,
    goals: |facts| goals(facts, 20_000.0, IN_FLIGHT),
};

/// Nobody is answered.
pub const SILENT: Trial = Trial {
    name: "mail-server-silent",
    about: "The mail server is silent for 35 s under 10,000 orders: no mail is lost, watchers do not notice",
    plan: |terms| plan(terms, SHORT_MS, link(terms, SHORT_MS, Hurt::Dead)),
    act: None,
    goals: |facts| goals(facts, 10_000.0, IN_FLIGHT),
};

/// Each mail is put off, and uses up its tries.
pub const PUTS_OFF: Trial = Trial {
    name: "mail-server-puts-off",
    about: "The mail server answers 451 to each recipient until the last try but one: no mail is lost",
    plan: |terms| plan(terms, SHORT_MS, Vec::new()),
    act: Some(put_off),
    goals: |facts| goals(facts, 10_000.0, 0),
};

fn link(terms: &Terms, away_ms: u64, hurt: Hurt) -> Vec<Step> {
    let targets = replicas(Role::Notification, 2);
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    vec![step(BEFORE_MS - 5_000, terms.ms(away_ms), Kind::Link(Class::Smtp, hurt), &targets)]
}

fn plan(terms: &Terms, away_ms: u64, faults: Vec<Step>) -> Plan {
    let away_ms = terms.ms(away_ms);
    let waits = successors(Some(away_ms / UNITS), |wait| Some(wait * 2)).take(WAITS);
    let schedule = waits.map(|wait| format!("{wait}ms")).collect::<Vec<_>>().join(",");
    Plan {
        faults,
        settings: vec![("COMANDA_MAIL_RETRY_DELAYS", schedule), ("COMANDA_SMTP_CONNECTIONS", CONNECTIONS.to_string())],
        workload: workload::Settings { orders_per_second: ORDERS_PER_SECOND, moved: 0.1, ..Plan::default().workload },
        length_ms: away_ms + BEFORE_MS + 5_000,
        // The last wait, for each of an order's mails in its turn, and then all that has come together.
        drain_ms: away_ms + 90_000,
        ..Plan::default()
    }
}

fn put_off(field: Arc<Field>, terms: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        sleep(Duration::from_millis(BEFORE_MS)).await;
        let fault = field.recorder.number();
        field.recorder.record(What::Fault { fault, name: "mail server puts off".into(), target: "all".into() });
        field.smtp.set(Mode::Refuse4xx(Phase::Rcpt));
        sleep(Duration::from_millis(terms.ms(SHORT_MS))).await;
        field.smtp.set(Mode::Accept);
        field.recorder.record(What::Heal { fault, failed: None });
        Ok(())
    }
    .boxed_local()
}

/// A mail may be repeated where the server gave no answer, which it knows, and where its answer was lost on the way: at most `lost` times.
fn goals(facts: &Facts<'_>, orders: f64, lost: u64) -> Vec<Goal> {
    let figures = facts.figures();
    let beyond = figures.repeated_mails.saturating_sub(figures.ambiguous_mails + lost) as usize;
    let span = facts.span_us("smtp").or_else(|| facts.span_us("mail"));
    let delay = |from_us, to_us| facts.delay_ms(from_us, to_us, 99);
    let before = span.and_then(|(from_us, _)| delay(0, from_us));
    let meanwhile = span.and_then(|(from_us, to_us)| delay(from_us, to_us));
    vec![
        Goal::least("orders", Some(figures.accepted as f64), orders * facts.scale * 0.9),
        Goal::none("mails given up", figures.dead_mails as usize),
        Goal::none("mails repeated beyond the ambiguous ones", beyond),
        Goal::most(
            "ms that 99 of 100 transitions took to the first watcher",
            meanwhile,
            before.unwrap_or_default() + 250.0,
        ),
    ]
}

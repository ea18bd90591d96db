//! Makes faults, holds them and mends them.

use std::time::Duration;

use anyhow::{Context, Result};
use comanda_checker::history::What;
use futures::future::try_join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    database,
    kind::{Hurt, Kind, Trouble},
    links::manners,
    plan::Step,
    starve::{self, Busy},
    topics,
};
use crate::{
    cluster::{Class, Cluster, Process, Signal, Wire},
    dump,
    recorder::Recorder,
    smtp::{Dialect, Mode, PHASES, Phase, REFUSALS_OF_THE_PACE, REFUSALS_OF_US, SmtpServer},
};

/// Between repetitions of a fault that is done again and again.
const AGAIN: Duration = Duration::from_millis(300);

/// Everything that can be broken.
#[derive(Debug)]
pub struct Field {
    /// The system.
    pub cluster: Cluster,
    /// The mail server.
    pub smtp: SmtpServer,
    /// The history.
    pub recorder: Recorder,
}

/// What lasts while a fault does.
#[derive(Debug)]
pub enum Held {
    /// Nothing of ours.
    Nothing,
    /// A connection with a lock.
    Lock(PgConnection),
    /// Threads.
    Busy(Busy),
}

impl Field {
    /// Begins a fault.
    pub async fn make(&self, step: &Step) -> Result<Held> {
        let cluster = &self.cluster;
        match step.kind {
            Kind::RoleKilled(_) | Kind::BrokerKilled | Kind::BrokersKilled => self.end(step, Signal::Kill).await?,
            Kind::RoleStopped(_) | Kind::BrokerStopped => self.end(step, Signal::Term).await?,
            Kind::RoleFrozen(_) | Kind::BrokerFrozen => self.signal(step, Signal::Stop).await?,
            Kind::RoleShortOfFiles(_) => self.limit_files(step, starve::no_more_files).await?,
            Kind::PostgresRestarted => cluster.postgres.end(Signal::Int).await?,
            Kind::PostgresCrashed => cluster.postgres.end(Signal::Quit).await?,
            Kind::PostgresFrozen => cluster.postgres.signal(Signal::Stop).await?,
            Kind::BackendsTerminated => database::terminate_backends(&cluster.endpoints.database_url).await?,
            Kind::TableLocked => {
                return Ok(Held::Lock(database::lock_a_table(&cluster.endpoints.database_url, step.seed).await?));
            }
            Kind::Link(class, hurt) => {
                self.wires(class, step).for_each(|wire| wire.link.set(manners(class, hurt, step.seed)));
                self.reset_if_asked(step);
            }
            Kind::Mail(trouble) => self.smtp.set(mode(trouble, step.seed)),
            Kind::ProcessorsStarved => return Ok(Held::Busy(Busy::start())),
            Kind::GarbagePlanted => self.plant_garbage(step).await?,
            Kind::RecordsReplayed => {
                topics::replay(&cluster.endpoints, cluster.shape.partitions, step.seed).await?;
            }
            Kind::GroupForgotten(role) => {
                self.end(step, Signal::Term).await?;
                topics::forget_groups(&cluster.endpoints, role).await?;
            }
            Kind::TopicsLost => self.lose_topics().await?,
        }
        Ok(Held::Nothing)
    }

    /// Lasts as long as the fault, and repeats what must be repeated.
    pub async fn hold(&self, step: &Step) {
        let end = Instant::now() + Duration::from_millis(step.lasts_ms);
        while Instant::now() + AGAIN < end {
            sleep(AGAIN).await;
            self.reset_if_asked(step);
            if step.kind == Kind::BackendsTerminated {
                // Where nobody answers there is nobody to be ended.
                _ = database::terminate_backends(&self.cluster.endpoints.database_url).await;
            }
        }
        sleep_until(end).await;
    }

    /// Ends a fault.
    pub async fn mend(&self, step: &Step, held: Held) -> Result<()> {
        match step.kind {
            Kind::RoleKilled(_) | Kind::RoleStopped(_) | Kind::GroupForgotten(_) => self.start(step).await?,
            Kind::BrokerKilled | Kind::BrokerStopped | Kind::BrokersKilled => self.start(step).await?,
            Kind::RoleFrozen(_) | Kind::BrokerFrozen => self.signal(step, Signal::Continue).await?,
            Kind::RoleShortOfFiles(_) => self.limit_files(step, starve::files_again).await?,
            Kind::PostgresRestarted | Kind::PostgresCrashed => self.cluster.postgres.start().await?,
            Kind::PostgresFrozen => self.cluster.postgres.signal(Signal::Continue).await?,
            Kind::Link(class, _) => self.mend_links(class, step),
            Kind::Mail(_) => self.smtp.set(Mode::Accept),
            Kind::TableLocked | Kind::BackendsTerminated | Kind::ProcessorsStarved => {}
            Kind::GarbagePlanted | Kind::RecordsReplayed | Kind::TopicsLost => {}
        }
        match held {
            Held::Lock(connection) => database::unlock(connection).await,
            Held::Busy(_) | Held::Nothing => Ok(()),
        }
    }

    fn processes(&self, step: &Step) -> Result<Vec<&Process>> {
        step.targets.iter().map(|name| self.cluster.process(name)).collect()
    }

    async fn end(&self, step: &Step, signal: Signal) -> Result<()> {
        let processes = self.processes(step)?;
        try_join_all(processes.iter().map(|process| process.end(signal))).await.map(|_| ())
    }

    async fn start(&self, step: &Step) -> Result<()> {
        let processes = self.processes(step)?;
        try_join_all(processes.iter().map(|process| process.start())).await.map(|_| ())
    }

    async fn signal(&self, step: &Step, signal: Signal) -> Result<()> {
        let processes = self.processes(step)?;
        try_join_all(processes.iter().map(|process| process.signal(signal))).await.map(|_| ())
    }

    async fn limit_files(&self, step: &Step, limit: fn(u32) -> Result<String>) -> Result<()> {
        for process in self.processes(step)? {
            let Some(pid) = process.pid() else { continue };
            starve::set_limit(pid, &limit(pid)?).await?;
        }
        Ok(())
    }

    fn wires<'a>(&'a self, class: Class, step: &'a Step) -> impl Iterator<Item = &'a Wire> {
        self.cluster.wires_of(class).filter(|wire| step.targets.contains(&wire.replica))
    }

    fn reset_if_asked(&self, step: &Step) {
        if let Kind::Link(class, Hurt::Reset | Hurt::Refusing) = step.kind {
            self.wires(class, step).for_each(|wire| wire.link.reset());
        }
    }

    /// What a hole has swallowed comes late, or its connections have been given up meanwhile: each half of the time.
    fn mend_links(&self, class: Class, step: &Step) {
        let gives_up = step.seed.is_multiple_of(2);
        for wire in self.wires(class, step) {
            if gives_up && matches!(step.kind, Kind::Link(_, Hurt::Mute | Hurt::Deaf | Hurt::Dead)) {
                wire.link.reset();
            }
            wire.link.mend();
        }
    }

    async fn plant_garbage(&self, step: &Step) -> Result<()> {
        let endpoints = &self.cluster.endpoints;
        let mut connection = database::connect(&endpoints.database_url).await?;
        let statement = "SELECT order_id::text FROM ordering.orders ORDER BY order_id DESC LIMIT 10";
        let order_ids: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut connection).await?;
        database::unlock(connection).await?;
        topics::plant_garbage(endpoints, &order_ids, step.seed).await
    }

    /// What was on the topics goes into the history first.
    async fn lose_topics(&self) -> Result<()> {
        dump::topics(&self.cluster.endpoints, &self.recorder).await?;
        topics::delete(&self.cluster.endpoints).await?;
        self.cluster.migrate(&["--only", "topics"]).await?;
        self.recorder.record(What::Republished { why: "the topics were deleted and made again".into() });
        self.cluster.run("republish", &["--all"], &[]).await.context("the topics are empty")
    }
}

fn mode(trouble: Trouble, seed: u64) -> Mode {
    let mut random = StdRng::seed_from_u64(seed);
    let phase = PHASES[random.random_range(0..PHASES.len())];
    let policy = |refusals: &[(Phase, &'static str)]| {
        let (phase, text) = refusals[StdRng::seed_from_u64(seed).random_range(0..refusals.len())];
        Mode::Policy(phase, text)
    };
    match trouble {
        Trouble::PutsOff => Mode::Refuse4xx(phase),
        Trouble::Refuses => Mode::Refuse5xx(Phase::Rcpt),
        Trouble::Silent => Mode::Silence(phase),
        Trouble::HangsUp => Mode::Cut(phase),
        Trouble::CutsBeforeDot => Mode::CutBeforeDot,
        Trouble::CutsAfterDot => Mode::CutAfterDot,
        Trouble::CutsAfterReply => Mode::CutAfterReply,
        Trouble::SpeaksBare => Mode::Speak(Dialect::Bare),
        Trouble::SpeaksLineFeed => Mode::Speak(Dialect::LineFeed),
        Trouble::SpeaksLatin1 => Mode::Speak(Dialect::Latin1),
        Trouble::RefusesUs => policy(&REFUSALS_OF_US),
        Trouble::OverQuota => policy(&REFUSALS_OF_THE_PACE),
        Trouble::Mixed => Mode::Mixed,
    }
}

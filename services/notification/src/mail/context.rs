//! What all senders of a process share, and how they write results to the ledger: many with one statement.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use comanda_kit::{
    backoff::Backoff,
    batch::{Batcher, Limits},
    shutdown::Tasks,
    workflows::Workflows,
};
use metrics::counter;
use tracing::warn;

use super::{
    claims::Claims, compose::Composer, config::Config, due::Due, history::History, pause::Pause, row::Change,
    schedule::Schedule, store::Store, transport::Route,
};

/// A change that finds the queue full waits a moment and tries again. One writer: what arrives during a commit goes out with the next.
const LIMITS: Limits = Limits { queue: 4096, batch: 512, writers: 1 };

/// Whether a change was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Applied,
    /// The mail is no longer where the change expects it.
    NotOurs,
    Unknown,
}

/// What senders share.
pub struct SenderContext {
    pub store: Store,
    pub workflows: Workflows,
    pub composer: Composer,
    pub schedule: Schedule,
    pub route: Route,
    pub senders: u16,
    /// How old a mail may be when it is tried first.
    pub max_age: Duration,
    pub pause: Pause,
    pub history: History,
    /// How many mails were suppressed for their age since the log last said so.
    pub too_old: AtomicU64,
    pub due: Arc<Due>,
    claims: Arc<Mutex<Claims>>,
    changes: Batcher<Change, Written>,
}

impl SenderContext {
    /// Starts the writer of changes.
    pub fn new(
        config: &Config,
        store: Store,
        workflows: Workflows,
        composer: Composer,
        route: Route,
        due: Arc<Due>,
        tasks: &Tasks,
    ) -> Self {
        let (schedule, pause) = (config.mail_retry_delays.clone(), Pause::new(config.smtp_pause()));
        let (writer, claims) = (store.clone(), Arc::<Mutex<Claims>>::default());
        let claims_of_writer = claims.clone();
        let changes = Batcher::start(tasks, "mail-changes", LIMITS, move |changes| {
            write(writer.clone(), claims_of_writer.clone(), changes)
        });
        let (senders, max_age, history) = (config.smtp_connections, config.mail_max_age(), History::default());
        Self {
            store,
            workflows,
            composer,
            schedule,
            route,
            senders,
            max_age,
            pause,
            history,
            too_old: AtomicU64::new(0),
            due,
            claims,
            changes,
        }
    }

    /// The claims of the present owner.
    pub fn claims(&self) -> MutexGuard<'_, Claims> {
        locked(&self.claims)
    }

    /// Writes a change, however long that takes. Where the mail is no longer ours, nothing is changed.
    pub async fn write(&self, change: Change) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            match self.changes.write(change.clone()).await {
                Ok(Written::Applied | Written::NotOurs) => return,
                // Writing it again is safe: it names the try that it is about.
                Ok(Written::Unknown) | Err(_) => tokio::time::sleep(backoff.next_delay()).await,
            }
        }
    }
}

/// Counts mails that may be sent twice, with one Message-ID.
pub fn ambiguous(count: u64) {
    counter!("comanda_mail_ambiguous_total").increment(count);
    warn!(count, "mails whose outcome is unknown are sent again, with the same Message-ID");
}

fn locked(claims: &Mutex<Claims>) -> MutexGuard<'_, Claims> {
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(store: Store, claims: Arc<Mutex<Claims>>, changes: Vec<Change>) -> Vec<Written> {
    let mut sorted = changes.clone();
    sorted.sort_by_key(|change| change.key);
    let ended = locked(&claims).ended_by(&changes);
    let applied = match store.change(&sorted, &ended).await {
        Ok(applied) => {
            locked(&claims).written(&changes);
            applied
        }
        Err(error) => {
            warn!("the results of mails wait to be written: {error}");
            return vec![Written::Unknown; changes.len()];
        }
    };
    let written = |change: &Change| if applied.contains(&change.key) { Written::Applied } else { Written::NotOurs };
    let written: Vec<_> = changes.iter().map(written).collect();
    for (change, _) in changes.iter().zip(&written).filter(|(_, written)| **written == Written::Applied) {
        counter!("comanda_mail_steps_total", "state" => state_name(change)).increment(1);
    }
    written
}

fn state_name(change: &Change) -> String {
    change.state.as_str_name().trim_start_matches("MAIL_STATE_").to_lowercase()
}

//! One sender: takes claimed mails, one at a time, and sends them over its own connection.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use comanda_kit::backoff::{Backoff, sleep};
use comanda_proto::v1::Workflow;
use metrics::{counter, gauge, histogram};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    compose::Letter,
    desk::Desk,
    fate::{self, Cause, Fate, Terms},
    owner::Lease,
    row::Claimed,
    transport::Transport,
};

/// After so long without a mail a connection is closed.
const IDLE: Duration = Duration::from_secs(20);
/// How long the server may still take to answer when we are stopping. Less than the hard stop of the process.
const DRAIN: Duration = Duration::from_secs(7);

/// Mails that are claimed and wait for a sender.
pub type Queue = Arc<Mutex<mpsc::Receiver<Claimed>>>;

/// A sender of one owner.
pub struct Sender {
    pub desk: Arc<Desk>,
    pub owner: Uuid,
    pub lease: Arc<Lease>,
    pub stop: CancellationToken,
    transport: Transport,
    /// Waits of this sender alone, while it can not connect: another one may well be connected.
    backoff: Backoff,
}

impl Sender {
    /// Not yet connected.
    pub fn new(desk: Arc<Desk>, owner: Uuid, lease: Arc<Lease>, stop: CancellationToken) -> Self {
        let transport = desk.route.open();
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        Self { desk, owner, lease, stop, transport, backoff }
    }

    /// Sends until the stop.
    pub async fn run(mut self, queue: Queue) {
        while let Some(mail) = self.next(&queue).await {
            self.handle(&mail).await;
            self.desk.pause.over(&self.stop).await;
        }
        self.transport.close().await;
    }

    /// The next mail; `None` when told to stop.
    async fn next(&mut self, queue: &Queue) -> Option<Claimed> {
        loop {
            // What is left in the queue at the stop is given back by the owner's release.
            let next = async { queue.lock().await.recv().await };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                next = timeout(IDLE, next) => match next {
                    Ok(mail) => return mail,
                    Err(_) => self.transport.close().await,
                },
            }
        }
    }

    /// Tries one mail and notes what became of it.
    async fn handle(&mut self, mail: &Claimed) {
        let (fate, sending) = self.attempt(mail).await;
        let pause = match &fate {
            Fate::Paused(Cause::Refused, reply) => {
                warn!("the mail server refuses us, all mails wait: {reply}");
                self.desk.pause.begin()
            }
            _ => Duration::ZERO,
        };
        let chance = rand::random_range(-1.0..=1.0);
        let terms = Terms { owner: self.owner, sending, schedule: &self.desk.schedule, chance, pause };
        if let Some(change) = fate::change(mail, &fate, &terms) {
            self.desk.write(change).await;
            // A later mail of the order may go out now.
            self.desk.due.notify_one();
        }
        self.learn(mail, &fate).await;
    }

    /// Returns what became of the mail, and whether it was noted as `sending` before.
    async fn attempt(&mut self, mail: &Claimed) -> (Fate, bool) {
        let started = Instant::now();
        let prepared = tokio::select! {
            prepared = Self::prepare(&self.desk, &mut self.transport, mail) => prepared,
            () = self.stop.cancelled() => Err(Fate::GivenBack),
        };
        let letter = match prepared {
            Ok(letter) => letter,
            Err(fate) => return (fate, false),
        };
        if !self.desk.write(fate::begin(mail, self.owner)).await {
            return (Fate::Lost, false);
        }
        if !self.lease.is_live() {
            return (Fate::GivenBack, true);
        }
        let fate = tokio::select! {
            fate = self.transport.deliver(&letter) => fate,
            () = async { self.stop.cancelled().await; tokio::time::sleep(DRAIN).await } => Fate::Interrupted,
        };
        histogram!("comanda_mail_send_seconds").record(started.elapsed());
        (fate, true)
    }

    async fn prepare(desk: &Desk, transport: &mut Transport, mail: &Claimed) -> Result<Letter, Fate> {
        if mail.contact.email.is_empty() {
            return Err(Fate::Suppressed);
        }
        let workflow = workflow(desk, mail).await;
        let letter = desk.composer.compose(mail, &workflow, SystemTime::now());
        let letter = letter.map_err(|problem| Fate::Dead(format!("can not be written: {problem:#}")))?;
        transport.prepare(&letter).await?;
        Ok(letter)
    }

    /// Draws the consequences for this sender and for whoever watches it.
    async fn learn(&mut self, mail: &Claimed, fate: &Fate) {
        let (order_id, version) = (mail.key.order_id, mail.key.version);
        match fate {
            Fate::Sent(_) => {
                self.backoff.reset();
                self.desk.pause.end();
            }
            Fate::Dead(_) => warn!(%order_id, version, "a mail is dead; ListMails tells why"),
            Fate::Ambiguous(_) | Fate::Interrupted => ambiguous(1),
            Fate::Lost => info!(%order_id, version, "another sender has taken a mail of ours"),
            Fate::Paused(Cause::Unreachable, reply) => self.wait(reply).await,
            Fate::Suppressed | Fate::Later(_) | Fate::Paused(Cause::Refused, _) | Fate::GivenBack => {}
        }
        if !matches!(fate, Fate::Sent(_)) {
            self.transport.abandon();
        }
    }

    async fn wait(&mut self, reply: &str) {
        let delay = self.backoff.next_delay();
        warn!("the mail server can not be reached, trying again in {delay:?}: {reply}");
        gauge!("comanda_mail_unreachable").increment(1.0);
        sleep(delay, &self.stop).await;
        gauge!("comanda_mail_unreachable").decrement(1.0);
    }
}

/// Counts mails that may be sent twice, with one Message-ID.
pub fn ambiguous(count: usize) {
    if count > 0 {
        counter!("comanda_mail_ambiguous_total").increment(count as u64);
        warn!(count, "mails whose fate is unknown are sent again, with the same Message-ID");
    }
}

/// The workflow of a mail's order; an empty one where it can not be read, so that the mail is sent all the same.
async fn workflow(desk: &Desk, mail: &Claimed) -> Arc<Workflow> {
    let contact = &mail.contact;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match desk.workflows.get(&contact.workflow, contact.workflow_revision).await {
            Ok(workflow) => return workflow,
            Err(problem) => {
                warn!("a workflow can not be read: {problem}");
                if !problem.is_transient() {
                    return Arc::default();
                }
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

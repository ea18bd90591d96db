//! One sender: takes claimed mails, a few at a time, and sends them one after the other over its own connection.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use comanda_kit::{
    backoff::{Backoff, sleep},
    planted,
};
use comanda_proto::v1::Workflow;
use futures::future::join_all;
use metrics::{counter, gauge, histogram};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{
    compose::Letter,
    context::SenderContext,
    outcome::{self, Cause, Outcome, Terms},
    owner::Lease,
    row::{Change, Claimed},
    transport::Transport,
};

/// After so long without a mail a connection is closed.
const IDLE: Duration = Duration::from_secs(20);
/// How many mails one sender takes from the queue together. Of a process that is killed under a backlog twice as many for each of its
/// senders count as ambiguous: those in its hands and those in the queue.
pub const TOGETHER: usize = 8;
/// How long an outcome waits for others before it is noted.
const NOTED_WITHIN: Duration = Duration::from_millis(20);
/// How long the server may still take to answer when we are stopping. Less than the hard stop of the process.
const DRAIN: Duration = Duration::from_secs(7);

/// Mails that are claimed and wait for a sender.
pub type Queue = Arc<Mutex<mpsc::Receiver<Claimed>>>;

/// A sender of one owner.
pub struct Sender {
    pub context: Arc<SenderContext>,
    pub owner: Uuid,
    pub lease: Arc<Lease>,
    pub stop: CancellationToken,
    transport: Transport,
    /// Waits of this sender alone, while it can not connect: another one may well be connected.
    backoff: Backoff,
    /// The notes of the last batch, on their way.
    noting: JoinSet<()>,
}

impl Sender {
    /// Not yet connected.
    pub fn new(context: Arc<SenderContext>, owner: Uuid, lease: Arc<Lease>, stop: CancellationToken) -> Self {
        let transport = context.route.open();
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        Self { context, owner, lease, stop, transport, backoff, noting: JoinSet::new() }
    }

    /// Sends until the stop.
    pub async fn run(mut self, queue: Queue) {
        while let Some(mails) = self.next(&queue).await {
            self.handle(mails).await;
            self.context.pause.over(&self.stop).await;
        }
        while self.noting.join_next().await.is_some() {}
        self.transport.close().await;
    }

    /// The next mails: those that wait now, at most [`TOGETHER`]. `None` when told to stop.
    async fn next(&mut self, queue: &Queue) -> Option<Vec<Claimed>> {
        loop {
            let mut mails = Vec::new();
            // What is left in the queue at the stop is given back by the owner's release.
            let next = async { queue.lock().await.recv_many(&mut mails, TOGETHER).await };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                next = timeout(IDLE, next) => match next {
                    Ok(count) => return (count > 0).then_some(mails),
                    Err(_) => self.transport.close().await,
                },
            }
        }
    }

    /// Tries mails one after the other.
    async fn handle(&mut self, mails: Vec<Claimed>) {
        let mut notes = Notes::new(self.context.clone());
        let mut ready = Vec::with_capacity(mails.len());
        for mail in mails {
            match self.compose(&mail).await {
                Ok(letter) => ready.push((mail, letter)),
                Err(outcome) => self.conclude(&mail, outcome, &mut notes).await,
            }
        }
        match self.connect().await {
            Ok(()) => self.send_all(ready, &mut notes).await,
            Err(mut outcome) => {
                for (mail, _) in &ready {
                    self.conclude(mail, std::mem::replace(&mut outcome, Outcome::GivenBack), &mut notes).await;
                }
            }
        }
        // The notes of one batch are written while the next is sent, and no further.
        while self.noting.join_next().await.is_some() {}
        self.noting = notes.end();
    }

    async fn connect(&mut self) -> Result<(), Outcome> {
        tokio::select! {
            connected = self.transport.connect() => connected,
            () = self.stop.cancelled() => Err(Outcome::GivenBack),
        }
    }

    async fn send_all(&mut self, ready: Vec<(Claimed, Letter)>, notes: &mut Notes) {
        let mut works = true;
        for (mail, letter) in ready {
            if planted!("mail-sent-before-data") {
                self.conclude(&mail, Outcome::Sent("250".into()), notes).await;
            }
            let outcome = if works && self.lease.is_live() { self.send(&letter).await } else { Outcome::GivenBack };
            works &= !matches!(outcome, Outcome::Paused(..));
            self.conclude(&mail, outcome, notes).await;
        }
    }

    async fn send(&mut self, letter: &Letter) -> Outcome {
        let started = Instant::now();
        let prepared = tokio::select! {
            prepared = self.transport.prepare(letter) => prepared,
            () = self.stop.cancelled() => Err(Outcome::GivenBack),
        };
        if let Err(outcome) = prepared {
            return outcome;
        }
        let outcome = tokio::select! {
            outcome = self.transport.deliver(letter) => outcome,
            () = async { self.stop.cancelled().await; tokio::time::sleep(DRAIN).await } => Outcome::Interrupted,
        };
        histogram!("comanda_mail_send_seconds").record(started.elapsed());
        outcome
    }

    async fn compose(&self, mail: &Claimed) -> Result<Letter, Outcome> {
        if mail.contact.email.is_empty() {
            return Err(Outcome::NoAddress);
        }
        if mail.is_too_old {
            return Err(Outcome::TooOld);
        }
        let workflow = workflow(&self.context, mail).await;
        let letter = self.context.composer.compose(mail, &workflow, SystemTime::now());
        letter.map_err(|error| Outcome::Dead(format!("can not be written: {error:#}")))
    }

    /// Begins to note what became of a mail, and learns from it.
    async fn conclude(&mut self, mail: &Claimed, outcome: Outcome, notes: &mut Notes) {
        let pause = match &outcome {
            Outcome::Paused(Cause::Refused, reply) => {
                warn!("the mail server refuses us, all mails wait: {reply}");
                self.context.pause.begin()
            }
            _ => Duration::ZERO,
        };
        let chance = rand::random_range(-1.0..=1.0);
        let terms = Terms { owner: self.owner, schedule: &self.context.schedule, chance, pause };
        notes.add(outcome::change(mail, &outcome, &terms)).await;
        self.learn(mail, &outcome).await;
    }

    /// Draws the consequences for this sender and for whoever watches it.
    async fn learn(&mut self, mail: &Claimed, outcome: &Outcome) {
        let (order_id, version) = (mail.key.order_id, mail.key.version);
        match outcome {
            Outcome::Sent(_) => {
                self.backoff.reset();
                self.context.pause.end();
            }
            Outcome::Dead(_) => warn!(%order_id, version, "a mail is dead; ListMails tells why"),
            Outcome::TooOld => counter!("comanda_mails_too_old_total").increment(1),
            Outcome::Ambiguous(_) | Outcome::Interrupted => ambiguous(1),
            Outcome::Paused(Cause::Unreachable, reply) => self.wait(reply).await,
            Outcome::NoAddress | Outcome::Later(_) | Outcome::Paused(Cause::Refused, _) | Outcome::GivenBack => {}
        }
        if !matches!(outcome, Outcome::Sent(_)) {
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

/// What became of the mails of a batch, noted while further ones are sent: all at once at the end of the batch, and before that
/// whenever [`NOTED_WITHIN`] has passed, which a slow server may take for a single mail.
struct Notes {
    changes: mpsc::Sender<Change>,
    writer: JoinSet<()>,
}

impl Notes {
    fn new(context: Arc<SenderContext>) -> Self {
        let (changes, mut noted) = mpsc::channel(TOGETHER);
        let mut writer = JoinSet::new();
        writer.spawn(async move {
            while let Some(first) = noted.recv().await {
                let mut together = vec![first];
                let collecting = async { while noted.recv_many(&mut together, TOGETHER).await > 0 {} };
                // A timeout means that the batch goes on.
                let _ = timeout(NOTED_WITHIN, collecting).await;
                join_all(together.into_iter().map(|change| context.write(change))).await;
                // A later mail of the order may go out now.
                context.due.notify_one();
            }
        });
        Self { changes, writer }
    }

    async fn add(&self, change: Change) {
        self.changes.send(change).await.expect("the writer lasts as long as these");
    }

    /// The batch has ended; what becomes of it is still to be awaited.
    fn end(self) -> JoinSet<()> {
        self.writer
    }
}

/// Counts mails that may be sent twice, with one Message-ID.
pub fn ambiguous(count: u64) {
    if count > 0 {
        counter!("comanda_mail_ambiguous_total").increment(count);
        warn!(count, "mails whose outcome is unknown are sent again, with the same Message-ID");
    }
}

/// The workflow of a mail's order; an empty one where it can not be read, so that the mail is sent all the same.
async fn workflow(context: &SenderContext, mail: &Claimed) -> Arc<Workflow> {
    let contact = &mail.contact;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match context.workflows.get(&contact.workflow, contact.workflow_revision).await {
            Ok(workflow) => return workflow,
            Err(error) => {
                warn!("a workflow can not be read: {error}");
                if !error.is_transient() {
                    return Arc::default();
                }
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

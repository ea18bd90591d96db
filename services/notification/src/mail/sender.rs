//! One sender: takes claimed mails, a few at a time, and sends them one after the other over its own connection.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use comanda_kit::{
    backoff::{Backoff, sleep},
    planted,
    traces::{self, SpanBuilder, SpanKind},
};
use metrics::{counter, gauge, histogram};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    compose::Letter,
    context::{SenderContext, ambiguous},
    failure::Failure,
    lease::Lease,
    lookup,
    notes::Notes,
    outcome::{self, Outcome, Pausing, Terms},
    row::{Claimed, Key},
    transport::Transport,
    verdict::{Facts, verdict},
};

/// A connection is closed after this time without a mail.
const IDLE: Duration = Duration::from_secs(20);
/// How many mails one sender takes from the queue together. If the process is killed under a backlog, twice as many for each of its
/// senders count as ambiguous: those that it works on and those in the queue.
pub const TOGETHER: usize = 8;
/// How long the server may still take to answer when we are stopping. Less than the hard stop of the process.
const DRAIN: Duration = Duration::from_secs(7);

/// Mails that are claimed and wait for a sender.
pub type Queue = Arc<Mutex<mpsc::Receiver<Claimed>>>;

/// A sender of one owner.
pub struct Sender {
    context: Arc<SenderContext>,
    lease: Arc<Lease>,
    stop: CancellationToken,
    transport: Transport,
    /// Waits of this sender alone, while it cannot connect: another one may be connected.
    backoff: Backoff,
    /// The results of the last batch, being written.
    noting: JoinSet<()>,
}

impl Sender {
    /// Not yet connected.
    pub fn new(context: Arc<SenderContext>, lease: Arc<Lease>, stop: CancellationToken) -> Self {
        let transport = context.route.open();
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        Self { context, lease, stop, transport, backoff, noting: JoinSet::new() }
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
        let mut notes = Notes::new(self.context.clone(), TOGETHER);
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
        // The results of one batch are written while the next one is sent, and no later.
        while self.noting.join_next().await.is_some() {}
        self.noting = notes.end();
    }

    async fn connect(&mut self) -> Result<(), Outcome> {
        tokio::select! {
            connected = self.transport.connect() => connected.map_err(|failure| verdict(&failure, Facts::default())),
            () = self.stop.cancelled() => Err(Outcome::GivenBack),
        }
    }

    async fn send_all(&mut self, ready: Vec<(Claimed, Letter)>, notes: &mut Notes) {
        let mut works = true;
        for (mail, letter) in ready {
            if planted!("mail-sent-before-data") {
                self.conclude(&mail, Outcome::Sent("250".into()), notes).await;
            }
            let outcome =
                if works && self.lease.is_live() { self.try_to_send(&mail, &letter).await } else { Outcome::GivenBack };
            works &= !matches!(outcome, Outcome::Paused(..));
            self.conclude(&mail, outcome, notes).await;
        }
    }

    /// One try, with a span if the order has a trace.
    async fn try_to_send(&mut self, mail: &Claimed, letter: &Letter) -> Outcome {
        let description = || SpanBuilder::from_name("send mail").with_kind(SpanKind::Client);
        let span = traces::linked(mail.contact.traceparent.as_deref(), description);
        let outcome = self.send(mail, letter).await;
        if let Some(mut span) = span
            && !matches!(outcome, Outcome::Sent(_))
        {
            span.fail("the mail was not sent in this try");
        }
        outcome
    }

    async fn send(&mut self, mail: &Claimed, letter: &Letter) -> Outcome {
        let started = Instant::now();
        let prepared = tokio::select! {
            prepared = self.transport.prepare(letter) => prepared,
            () = self.stop.cancelled() => return Outcome::GivenBack,
        };
        if let Err(failure) = prepared {
            return self.judge(mail, letter, failure);
        }
        let delivered = tokio::select! {
            delivered = self.transport.deliver(letter) => delivered,
            () = async { self.stop.cancelled().await; tokio::time::sleep(DRAIN).await } => return Outcome::Interrupted,
        };
        histogram!("comanda_mail_send_seconds").record(started.elapsed());
        match delivered {
            Ok(reply) => Outcome::Sent(letter.masked(&reply)),
            Err(failure) => self.judge(mail, letter, failure),
        }
    }

    /// What a failure means for a mail, in the light of what the server did lately.
    fn judge(&self, mail: &Claimed, letter: &Letter, failure: Failure) -> Outcome {
        let failure = failure.map_text(|text| letter.masked(text));
        let (others_refused, others_taken) = match failure.is_refusal_of_mail() {
            true => self.context.history.refused(mail.key, &letter.to, &failure.text()),
            false => (0, false),
        };
        let (tries, smtputf8) = (mail.attempts, letter.needs_smtputf8);
        verdict(&failure, Facts { tries, smtputf8, others_refused, others_taken })
    }

    async fn compose(&self, mail: &Claimed) -> Result<Letter, Outcome> {
        if mail.contact.email.is_empty() {
            return Err(Outcome::NoAddress);
        }
        if mail.is_too_old {
            return Err(Outcome::TooOld);
        }
        let workflow = lookup::workflow(&self.context, mail).await;
        let courier = lookup::courier(&self.context, mail, &workflow).await;
        let letter = self.context.composer.compose(mail, &workflow, courier.as_ref(), SystemTime::now());
        letter.map_err(|error| Outcome::Dead(format!("the mail could not be written: {error:#}")))
    }

    /// Passes a result on to be written, and acts on it.
    async fn conclude(&mut self, mail: &Claimed, outcome: Outcome, notes: &mut Notes) {
        let pause = match &outcome {
            Outcome::Paused(pausing, reply) => self.pause(*pausing, reply),
            _ => Duration::ZERO,
        };
        let chance = rand::random_range(-1.0..=1.0);
        let terms = Terms { owner: self.lease.owner, schedule: &self.context.schedule, chance, pause };
        let change = outcome::change(mail, &outcome, &terms);
        if change.is_undelivered && outcome != Outcome::TooOld {
            let Key { order_id, version, copy } = change.key;
            let reply = &change.reply;
            warn!(%order_id, version, copy, reply, "a mail is dead; `comanda mail resend` sends it again");
        }
        notes.add(change).await;
        self.learn(&outcome).await;
    }

    /// Pauses all senders where the server refuses us, and returns for how long.
    fn pause(&self, pausing: Pausing, reply: &str) -> Duration {
        let (cause, what) = match pausing {
            Pausing::Refused => ("refused", "the mail server refuses us, all mails wait"),
            Pausing::Limited => ("limited", "the mail server takes no more mails for now, all wait"),
            Pausing::Unreachable => return Duration::ZERO,
        };
        let pause = self.context.pause.begin();
        warn!(cause, ?pause, reply, "{what}");
        counter!("comanda_mail_pauses_total", "cause" => cause).increment(1);
        pause
    }

    /// Draws the consequences for this sender and for the metrics.
    async fn learn(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Sent(_) => {
                self.backoff.reset();
                self.context.history.taken();
                self.context.pause.end();
            }
            Outcome::TooOld => {
                counter!("comanda_mails_too_old_total").increment(1);
                self.context.too_old.fetch_add(1, Relaxed);
            }
            Outcome::Ambiguous(_) | Outcome::Interrupted => ambiguous(1),
            Outcome::Paused(Pausing::Unreachable, reply) => self.wait(reply).await,
            _ => {}
        }
        if !matches!(outcome, Outcome::Sent(_) | Outcome::TooOld | Outcome::NoAddress) {
            self.transport.abandon();
        }
    }

    async fn wait(&mut self, reply: &str) {
        let delay = self.backoff.next_delay();
        warn!(reply, "no mail can be sent now, trying again in {delay:?}");
        gauge!("comanda_mail_unreachable").increment(1.0);
        sleep(delay, &self.stop).await;
        gauge!("comanda_mail_unreachable").decrement(1.0);
    }
}

//! What all watchers have in common: how a stream is read, left and ended, all of it in the history.

use std::time::Duration;

use comanda_checker::history::What;
use futures::{Stream, StreamExt};
use rand::{RngExt, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{Code, Status};

use super::{clients::Clients, shown};

/// How long a stream may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(6);
/// A stream that shows nothing for longer than heartbeats are apart is left.
const SILENCE: Duration = Duration::from_secs(40);
/// A last look ends when for so long nothing came but heartbeats.
const LAST_SILENCE: Duration = Duration::from_millis(2500);

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its reader left.
    Left,
    /// Its reader left because there is nothing more to see.
    SeenAll,
    /// The server ended it, or the connection broke.
    Ended(Code, Option<String>),
}

impl End {
    fn of(status: &Status) -> Self {
        Self::Ended(shown::code(status), shown::reason(status))
    }

    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Self::Ended(code, _) => Some(*code),
            Self::Left | Self::SeenAll => None,
        }
    }

    pub(super) fn record(&self, clients: &Clients, stream: u64) {
        let (code, reason) = match self {
            Self::Left | Self::SeenAll => ("CLIENT", None),
            Self::Ended(code, reason) => (shown::name(*code), reason.clone()),
        };
        clients.recorder.record(What::StreamEnd { stream, code: code.into(), reason });
    }
}

/// How a reader reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    /// It leaves after this time, whatever there is.
    pub(super) leaves_after: Duration,
    /// It takes so long over each thing it is shown, at most.
    pub(super) slowness: Duration,
}

impl Habit {
    /// A reader that mostly stays for up to `stay`; some are slow.
    pub(super) fn draw(stay: Duration, rng: &mut StdRng) -> Self {
        let leaves_after = stay.mul_f64(rng.random_range(0.0..1.0));
        let slowness = match rng.random_range(0..20) {
            0 => Duration::from_secs(4),
            1..4 => Duration::from_millis(100),
            _ => Duration::ZERO,
        };
        Self { leaves_after, slowness }
    }
}

/// Waits for a stream to open.
pub(super) async fn opened<S>(opening: impl Future<Output = Result<S, Status>>) -> Result<S, End> {
    match timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(status)) => Err(End::of(&status)),
        Err(_) => Err(End::Ended(Code::DeadlineExceeded, None)),
    }
}

/// Reads a stream, handing each thing it shows to `see`, which tells whether it is news, until it ends or its reader leaves.
pub(super) async fn read<T>(
    clients: &Clients,
    mut stream: impl Stream<Item = Result<T, Status>> + Unpin,
    habit: Habit,
    rng: &mut StdRng,
    mut see: impl FnMut(T) -> bool,
) -> End {
    let leaves_at = Instant::now() + habit.leaves_after;
    let (mut heard_at, mut news_at, mut is_last_look) = (Instant::now(), Instant::now(), false);
    loop {
        if !is_last_look && clients.last_look.is_cancelled() {
            (is_last_look, news_at) = (true, Instant::now());
        }
        let silent_at = if is_last_look { news_at + LAST_SILENCE } else { heard_at + SILENCE };
        let message = tokio::select! {
            biased;
            () = sleep_until(leaves_at), if !is_last_look => return End::Left,
            () = clients.last_look.cancelled(), if !is_last_look => continue,
            message = stream.next() => message,
            () = sleep_until(silent_at) => return if is_last_look { End::SeenAll } else { End::Left },
        };
        match message {
            Some(Ok(shown)) => {
                heard_at = Instant::now();
                if see(shown) {
                    news_at = heard_at;
                }
            }
            None => return End::Ended(Code::Ok, None),
            Some(Err(status)) => return End::of(&status),
        }
        if !habit.slowness.is_zero() && !is_last_look {
            sleep(habit.slowness.mul_f64(rng.random_range(0.0..1.0))).await;
        }
    }
}

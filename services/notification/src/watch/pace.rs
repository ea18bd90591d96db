//! What every stream does whatever it watches: heartbeats in silence, and its ends (the server stops, the stream is old, the reader
//! takes nothing).
//!
//! A stream whose reader takes nothing is not polled at all, so a stall is found when the reader comes back: by how long
//! something had been there to take.

use std::{pin::Pin, sync::Arc, time::Duration};

use comanda_kit::errors::{ApiError, RETRY_AFTER};
use comanda_proto::errors::reason;
use futures::Stream;
use metrics::{Gauge, counter, gauge};
use rand::RngExt;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// How much the age of streams differs, either way, so that those which began together do not end together.
const AGE_JITTER: f64 = 0.1;

/// The times of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Silence after which a heartbeat is sent.
    pub heartbeat: Duration,
    /// How long a reader may take nothing.
    pub stall: Duration,
    /// How old a stream gets, about.
    pub age: Duration,
}

/// Why a stream ends before its order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server stops.
    Stopping,
    /// The stream is old.
    Aged,
    /// The reader took nothing for too long.
    Stalled,
}

impl From<End> for ApiError {
    fn from(end: End) -> Self {
        match end {
            End::Stopping => Self::shutting_down(),
            End::Aged => {
                let message = "this stream has become old; resume it, on any server";
                Self::new(Code::Unavailable, reason::STREAM_AGE, message).retry_after(RETRY_AFTER)
            }
            End::Stalled => {
                counter!("comanda_watch_stalls_total").increment(1);
                Self::new(
                    Code::Aborted,
                    reason::SLOW_READER,
                    "nothing was read from this stream for too long; resume it",
                )
            }
        }
    }
}

/// Why a rest is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be something to take.
    News,
    /// Nothing was sent for so long that a heartbeat is due.
    Heartbeat,
    /// The time that was asked for has come.
    Alarm,
}

/// The clock of one stream.
#[derive(Debug)]
pub struct Pace {
    times: Times,
    ends_at: Instant,
    /// When the last response was handed over.
    responded_at: Instant,
    /// When the reader was last known to be there, or we kept it waiting ourselves.
    met_at: Instant,
    timer: Pin<Box<Sleep>>,
    stop: CancellationToken,
    open_streams: Gauge,
    _place: OwnedSemaphorePermit,
}

/// Streams of one kind: so many may be open.
#[derive(Clone, Debug)]
pub struct Kind {
    name: &'static str,
    places: Arc<Semaphore>,
}

impl Kind {
    /// At most so many streams of this kind.
    pub fn new(name: &'static str, most: usize) -> Self {
        Self { name, places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }
}

impl Pace {
    /// The clock of a stream that begins now; refused when there are too many.
    pub fn new(times: Times, kind: &Kind, stop: CancellationToken) -> Result<Self, ApiError> {
        let place = kind.places.clone().try_acquire_owned().map_err(|_| ApiError::overloaded())?;
        let now = Instant::now();
        let jitter = rand::rng().random_range(1.0 - AGE_JITTER..=1.0 + AGE_JITTER);
        let open_streams = gauge!("comanda_watch_streams", "kind" => kind.name);
        open_streams.increment(1.0);
        let timer = Box::pin(sleep_until(now));
        let ends_at = now + times.age.mul_f64(jitter);
        Ok(Self { times, ends_at, responded_at: now, met_at: now, timer, stop, open_streams, _place: place })
    }

    /// Notes that a response is handed over.
    pub fn respond(&mut self) {
        self.responded_at = Instant::now();
        self.met_at = self.responded_at;
    }

    /// Whether the stream may go on. To be asked when the reader comes for more: it took what it was given before.
    pub fn check(&self) -> Result<(), End> {
        let now = Instant::now();
        match () {
            () if self.stop.is_cancelled() => Err(End::Stopping),
            () if now.duration_since(self.met_at) > self.times.stall => Err(End::Stalled),
            () if now >= self.ends_at => Err(End::Aged),
            () => Ok(()),
        }
    }

    /// Whether the reader comes in time for something that has been there since then.
    pub fn check_since(&mut self, since: Instant) -> Result<(), End> {
        let in_time = since.max(self.met_at).elapsed() <= self.times.stall;
        self.met_at = Instant::now();
        if in_time { Ok(()) } else { Err(End::Stalled) }
    }

    /// Waits for news, an alarm, or until a heartbeat is due.
    pub async fn rest(&mut self, news: &Notify, alarm: Option<Instant>) -> Result<Wake, End> {
        let heartbeat = self.responded_at + self.times.heartbeat;
        let due = alarm.unwrap_or(heartbeat).min(heartbeat).min(self.ends_at);
        self.timer.as_mut().reset(due);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(End::Stopping),
            () = news.notified() => Ok(Wake::News),
            () = &mut self.timer => self.rung(due, heartbeat),
        }
    }

    fn rung(&self, due: Instant, heartbeat: Instant) -> Result<Wake, End> {
        match () {
            () if due.elapsed() > self.times.stall => Err(End::Stalled),
            () if due == self.ends_at => Err(End::Aged),
            () if due == heartbeat => Ok(Wake::Heartbeat),
            () => Ok(Wake::Alarm),
        }
    }

    /// Awaits something of ours, unless the server stops.
    pub async fn wait_for<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let stop = self.stop.clone();
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => Err(End::Stopping),
            result = work => Ok(result),
        };
        self.met_at = Instant::now();
        result
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.open_streams.decrement(1.0);
    }
}

/// A stream that gives one response after the other until there is none, or an error.
pub trait Responses: Send + Sized + 'static {
    /// What is sent.
    type Response: Send;

    /// The next response; `None` at a good end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Response>, ApiError>> + Send;

    /// The stream as tonic wants it.
    fn into_stream(self) -> impl Stream<Item = Result<Self::Response, Status>> + Send + 'static {
        futures::stream::unfold(Some(self), |responses| async {
            let mut responses = responses?;
            match responses.next().await {
                Ok(response) => Some((Ok(response?), Some(responses))),
                Err(error) => Some((Err(error.into()), None)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times =
        Times { heartbeat: Duration::from_secs(15), stall: Duration::from_secs(30), age: Duration::from_secs(1800) };

    fn pace() -> Pace {
        Pace::new(TIMES, &Kind::new("test", 1), CancellationToken::new()).expect("the first stream")
    }

    async fn advance(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test]
    async fn there_are_never_too_many_streams() {
        let kind = Kind::new("test", 2);
        let open = || Pace::new(TIMES, &kind, CancellationToken::new());
        let (one, two) = (open(), open());
        assert!(one.is_ok() && two.is_ok() && open().is_err());
        drop(one);
        assert!(open().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_brings_heartbeats_and_age_the_end() {
        let (mut pace, news, begin) = (pace(), Notify::new(), Instant::now());
        let mut heartbeats = 0;
        let end = loop {
            match pace.rest(&news, None).await {
                Ok(wake) => assert_eq!(wake, Wake::Heartbeat),
                Err(end) => break end,
            }
            heartbeats += 1;
            pace.respond();
        };
        assert_eq!(end, End::Aged);
        let age_secs = begin.elapsed().as_secs();
        assert!((1620..=1980).contains(&age_secs), "{age_secs}");
        assert_eq!(heartbeats, age_secs / 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_leaves_something_lying_has_stalled() {
        let mut pace = pace();
        advance(20).await;
        let since = Instant::now();
        advance(30).await;
        assert_eq!(pace.check_since(since), Ok(()));
        advance(31).await;
        assert_eq!(pace.check(), Err(End::Stalled));
        assert_eq!(pace.check_since(since), Err(End::Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_that_nobody_took_is_a_stall_too() {
        let (mut pace, news) = (pace(), Notify::new());
        let mut rest = Box::pin(pace.rest(&news, None));
        assert!(futures::poll!(&mut rest).is_pending());
        advance(15 + 31).await;
        assert_eq!(rest.await, Err(End::Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn news_alarms_and_the_stop_end_a_rest() {
        let (mut pace, news) = (pace(), Notify::new());
        news.notify_one();
        assert_eq!(pace.rest(&news, None).await, Ok(Wake::News));
        let alarm = Instant::now() + Duration::from_secs(1);
        assert_eq!(pace.rest(&news, Some(alarm)).await, Ok(Wake::Alarm));
        pace.stop.cancel();
        assert_eq!(pace.rest(&news, None).await, Err(End::Stopping));
        assert_eq!(pace.check(), Err(End::Stopping));
        assert_eq!(pace.wait_for(std::future::pending::<()>()).await, Err(End::Stopping));
    }
}

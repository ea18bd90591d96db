//! The way of one stream's responses to its client: one response at a time, with a bound on how long the client may leave it waiting.
//!
//! The stream's task sends; tonic takes when the client's HTTP/2 window has room. At most one response waits in between. It is removed
//! when the stream ends, so a client that stops reading holds no memory of ours.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use comanda_proto::errors::reason;
use futures::{Stream, StreamExt};
use metrics::counter;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tonic::{Code, Status};

use crate::errors::ApiError;

/// The responses of a stream as tonic takes them.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// From where a client resumes that has received everything so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// From the beginning.
    Start,
    /// After this version.
    Version(i64),
    /// After this token.
    Token(Bytes),
}

impl Resume {
    fn add_to(&self, error: ApiError) -> ApiError {
        match self {
            Self::Start => error,
            Self::Version(version) => error.with("version", version),
            Self::Token(token) => error.with("resume_token", STANDARD.encode(token)),
        }
    }
}

/// What waits for the client. It is shared with the stream, which replaces it if the client does not take it.
#[derive(Debug)]
struct Parcel<T>(Arc<Mutex<Content<T>>>);

#[derive(Debug)]
enum Content<T> {
    Response(T),
    /// The client has it.
    Taken,
    End(Result<(), Status>),
}

impl<T> Clone for Parcel<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Parcel<T> {
    fn new(content: Content<T>) -> Self {
        Self(Arc::new(Mutex::new(content)))
    }

    fn content(&self) -> MutexGuard<'_, Content<T>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// What tonic gets; `None` at a good end.
    fn take(&self) -> Option<Result<T, Status>> {
        match std::mem::replace(&mut *self.content(), Content::Taken) {
            Content::Response(response) => Some(Ok(response)),
            Content::End(Err(status)) => Some(Err(status)),
            Content::End(Ok(())) | Content::Taken => None,
        }
    }
}

/// The stream's end of the way.
#[derive(Debug)]
pub struct Output<T> {
    parcels: mpsc::Sender<Parcel<T>>,
    heartbeat: Duration,
    stall: Duration,
    /// What was sent last, and from where the client resumes once it has that; until the client is known to have it.
    last: Option<(Parcel<T>, Resume)>,
    /// From where the client resumes with what it has.
    resume: Resume,
    sent_at: Instant,
}

/// A way for the responses of a stream: the stream's end, and the end that tonic reads. The client may be silent about one response for
/// `stall`; after `heartbeat` without a response a heartbeat is sent.
pub fn output<T: Send + 'static>(
    heartbeat: Duration,
    stall: Duration,
    resume: Resume,
) -> (Output<T>, ResponseStream<T>) {
    let (parcels, taken) = mpsc::channel(1);
    let output = Output { parcels, heartbeat, stall, last: None, resume, sent_at: Instant::now() };
    (output, responses(taken))
}

/// A stream whose task is gone without an end has panicked.
fn responses<T: Send + 'static>(parcels: mpsc::Receiver<Parcel<T>>) -> ResponseStream<T> {
    let responses = futures::stream::unfold(Some(parcels), |parcels| async {
        let mut parcels = parcels?;
        let Some(parcel) = parcels.recv().await else { return Some((Err(ApiError::internal().into()), None)) };
        match parcel.take()? {
            Ok(response) => Some((Ok(response), Some(parcels))),
            Err(status) => Some((Err(status), None)),
        }
    });
    responses.boxed()
}

impl<T> Output<T> {
    /// Sends a response, once the client's window has taken the one before. `resume` is where the client resumes after it.
    pub async fn send(&mut self, response: T, resume: Resume) -> Result<(), ApiError> {
        self.flush().await?;
        let parcel = Parcel::new(Content::Response(response));
        self.last = Some((parcel.clone(), resume));
        self.sent_at = Instant::now();
        // Nothing waits, so there is room. If not even a reader is there, the client has hung up, and the task is about to be dropped.
        self.parcels.try_send(parcel).map_err(|_| ApiError::internal())
    }

    /// Waits until the client's window has taken what was sent. Who sends need not: a task that is woken once more for each response makes
    /// pushing to many watchers slower.
    pub async fn flush(&mut self) -> Result<(), ApiError> {
        if self.last.is_none() {
            return Ok(());
        }
        let taken = async { self.parcels.reserve().await.map(drop) };
        match timeout_at(self.sent_at + self.stall, taken).await {
            Ok(Ok(())) => {
                // tonic has the parcel, though perhaps not its content yet: `end` must not replace that any more.
                self.settle();
                Ok(())
            }
            // The client has hung up: the task is about to be dropped.
            Ok(Err(_)) => Err(ApiError::internal()),
            Err(_) => Err(slow_reader()),
        }
    }

    /// Awaits `work`. After each silence meanwhile it sends a heartbeat.
    pub async fn wait_for<W>(
        &mut self,
        work: impl Future<Output = W>,
        heartbeat: impl Fn() -> Result<(T, Resume), ApiError>,
    ) -> Result<W, ApiError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return Ok(result),
                () = sleep_until(self.sent_at + self.heartbeat) => {}
            }
            let (response, resume) = heartbeat()?;
            self.send(response, resume).await?;
        }
    }

    /// Completes when the client has hung up.
    pub fn closed(&self) -> impl Future<Output = ()> + use<T> {
        let parcels = self.parcels.clone();
        async move { parcels.closed().await }
    }

    /// Ends the stream. A response that was sent is removed, unless the client has it: before a good end, `flush`.
    pub fn end(mut self, result: Result<(), ApiError>) {
        let last = self.last.take();
        let end = |resume: &Resume| Content::End(result.map_err(|error| resume.add_to(error).into()));
        let Some((parcel, resume)) = last else {
            let _ = self.parcels.try_send(Parcel::new(end(&self.resume)));
            return;
        };
        // Locked, so that tonic cannot take it in between.
        let mut content = parcel.content();
        if matches!(*content, Content::Taken) {
            drop(content);
            let _ = self.parcels.try_send(Parcel::new(end(&resume)));
        } else {
            *content = end(&self.resume);
        }
    }

    /// What was sent is the client's: that is where it now resumes.
    fn settle(&mut self) {
        if let Some((_, resume)) = self.last.take() {
            self.resume = resume;
        }
    }
}

fn slow_reader() -> ApiError {
    counter!("comanda_watch_stalls_total").increment(1);
    ApiError::new(Code::Aborted, reason::SLOW_READER, "nothing was read from this stream for too long; resume it")
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(15);
    const STALL: Duration = Duration::from_secs(30);

    fn taken(response: Option<Result<i64, Status>>) -> i64 {
        response.expect("a response").expect("no error")
    }

    fn version(status: &Status) -> Option<String> {
        status.get_error_details().error_info()?.metadata.get("version").cloned()
    }

    #[tokio::test(start_paused = true)]
    async fn responses_come_out_in_order_and_the_end_last() {
        let (mut output, mut responses) = output(HEARTBEAT, STALL, Resume::Version(0));
        let task = tokio::spawn(async move {
            for version in 1..=3 {
                output.send(version, Resume::Version(version)).await.expect("there is room");
            }
            output.flush().await.expect("taken");
            output.end(Ok(()));
        });
        for version in 1..=3 {
            assert_eq!(taken(responses.next().await), version);
        }
        assert!(responses.next().await.is_none());
        task.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_ended_and_what_waited_is_gone() {
        let (mut output, mut responses) = output(HEARTBEAT, STALL, Resume::Version(6));
        let started = Instant::now();
        output.send(7, Resume::Version(7)).await.expect("there is room");
        let error = output.send(8, Resume::Version(8)).await.expect_err("nobody reads");
        assert_eq!(started.elapsed(), STALL);
        let waiting = output.last.clone().expect("it waits").0;
        output.end(Err(error));
        assert!(matches!(*waiting.content(), Content::End(_)));
        let status = responses.next().await.expect("an end").expect_err("an error");
        assert_eq!((status.code(), version(&status)), (Code::Aborted, Some("6".into())));
        assert!(responses.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_counts_a_response_that_was_taken_a_moment_before() {
        let (mut output, mut responses) = output(HEARTBEAT, STALL, Resume::Version(6));
        output.send(7, Resume::Version(7)).await.expect("there is room");
        taken(responses.next().await);
        output.end(Err(ApiError::shutting_down()));
        let status = responses.next().await.expect("an end").expect_err("an error");
        assert_eq!(version(&status), Some("7".into()));
    }

    /// tonic takes a parcel from the channel first and its content a moment later, on another thread.
    #[tokio::test]
    async fn an_end_removes_nothing_that_was_sent() {
        let (parcels, mut responses) = mpsc::channel(1);
        let mut output = Output {
            parcels,
            heartbeat: HEARTBEAT,
            stall: STALL,
            last: None,
            resume: Resume::Start,
            sent_at: Instant::now(),
        };
        output.send(7, Resume::Version(7)).await.expect("there is room");
        let (taken_on, parcel) = tokio::join!(output.flush(), responses.recv());
        taken_on.expect("tonic has it");
        output.end(Ok(()));
        assert_eq!(taken(parcel.expect("a parcel").take()), 7);
        assert!(responses.recv().await.expect("the end").take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_brings_heartbeats() {
        let (mut output, mut responses) = output(HEARTBEAT, STALL, Resume::Start);
        let reader = tokio::spawn(async move {
            let mut count = 0;
            while responses.next().await.is_some_and(|response| response.is_ok()) {
                count += 1;
            }
            count
        });
        let work = tokio::time::sleep(HEARTBEAT * 3 + HEARTBEAT / 2);
        output.wait_for(work, || Ok((0, Resume::Start))).await.expect("taken");
        output.end(Ok(()));
        assert_eq!(reader.await.expect("no panic"), 3);
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_and_a_task_that_panics_are_noticed() {
        let (output, responses) = output::<i64>(HEARTBEAT, STALL, Resume::Start);
        let closed = output.closed();
        drop(responses);
        closed.await;
        let (panicked, mut responses) = super::output::<i64>(HEARTBEAT, STALL, Resume::Start);
        drop(panicked);
        assert_eq!(responses.next().await.expect("an end").expect_err("an error").code(), Code::Internal);
    }
}

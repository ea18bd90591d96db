//! Streams. Those of responses run in a task of their own each. How many there are, and when each ends.
//!
//! A task ends by its own clock, whether or not its client reads: a client that takes nothing keeps neither a place nor memory.

use std::{sync::Arc, time::Duration};

use comanda_proto::errors::reason;
use metrics::{Gauge, gauge};
use rand::RngExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};
use tonic::{Code, Request};

use self::output::output;
pub use self::output::{Output, ResponseStream, Resume};
use crate::{
    deadline,
    errors::{ApiError, RETRY_AFTER},
    shutdown::Tasks,
};

mod output;

/// How much the age of streams differs, either way, so that streams which began together do not end together.
const AGE_JITTER: f64 = 0.1;

/// The times of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Silence after which a heartbeat is sent.
    pub heartbeat: Duration,
    /// How long a client may leave a response waiting.
    pub stall: Duration,
    /// How old a stream gets, about.
    pub age: Duration,
}

/// What a stream sends.
pub trait Responses: Send + 'static {
    /// One of them.
    type Response: Send + 'static;

    /// Sends responses until the stream is complete. Dropped at any await when the stream ends for another reason.
    fn run(&mut self, output: &mut Output<Self::Response>) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// The streams of one call.
#[derive(Clone, Debug)]
pub struct Streams {
    /// The call, for metrics.
    kind: &'static str,
    times: Times,
    places: Arc<Semaphore>,
    tasks: Tasks,
}

/// The right to open one stream.
#[derive(Debug)]
pub struct Place {
    open_streams: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Streams {
    /// At most `max` streams at once.
    pub fn new(kind: &'static str, max: usize, times: Times, tasks: Tasks) -> Self {
        let places = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self { kind, times, places, tasks }
    }

    /// A place for one more stream; refused when there is none.
    pub fn place(&self) -> Result<Place, ApiError> {
        let permit = self.places.clone().try_acquire_owned().map_err(|_| ApiError::overloaded())?;
        let open_streams = gauge!("comanda_watch_streams", "kind" => self.kind);
        open_streams.increment(1.0);
        Ok(Place { open_streams, _permit: permit })
    }

    /// Starts a stream. `resume` is where its client is at the beginning, `deadline` when the call ends at the latest.
    pub fn open<R: Responses>(
        &self,
        place: Place,
        resume: Resume,
        deadline: Option<Instant>,
        mut responses: R,
    ) -> ResponseStream<R::Response> {
        let (mut output, stream) = output(self.times.heartbeat, self.times.stall, resume);
        let (stop, age) = (self.tasks.stop_token(), self.times.age.mul_f64(jitter()));
        self.tasks.detach(async move {
            let old_at = Instant::now() + age;
            let closed = output.closed();
            let result = tokio::select! {
                biased;
                () = closed => return,
                () = stop.cancelled() => Err(ApiError::shutting_down()),
                () = sleep_until(deadline.unwrap_or(old_at)), if deadline.is_some() => Err(deadline_exceeded()),
                () = sleep_until(old_at) => Err(too_old()),
                result = complete(&mut responses, &mut output) => result,
            };
            drop((responses, place));
            output.end(result);
        });
        stream
    }
}

impl Streams {
    /// Takes a stream of requests, in a place: until it is complete, too old, or the stop.
    pub async fn take<T>(&self, requests: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let _place = self.place()?;
        tokio::select! {
            biased;
            () = self.tasks.stop_token().cancelled_owned() => Err(ApiError::shutting_down()),
            () = sleep(self.times.age.mul_f64(jitter())) => Err(too_old()),
            result = requests => result,
        }
    }
}

/// Sends everything, and waits until the client has it.
async fn complete<R: Responses>(responses: &mut R, output: &mut Output<R::Response>) -> Result<(), ApiError> {
    responses.run(output).await?;
    output.flush().await
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open_streams.decrement(1.0);
    }
}

/// When the call of a stream ends at the latest, as its client said.
pub fn deadline_of<T>(request: &Request<T>) -> Option<Instant> {
    deadline::of_call(request.metadata().as_ref()).map(|timeout| Instant::now() + timeout)
}

fn jitter() -> f64 {
    rand::rng().random_range(1.0 - AGE_JITTER..=1.0 + AGE_JITTER)
}

fn too_old() -> ApiError {
    let message = "this stream has reached its maximum age; resume it, on any server";
    ApiError::new(Code::Unavailable, reason::STREAM_AGE, message).retry_after(RETRY_AFTER)
}

fn deadline_exceeded() -> ApiError {
    ApiError::new(
        Code::DeadlineExceeded,
        reason::DEADLINE_EXCEEDED,
        "the deadline of the call has passed; resume the stream",
    )
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tonic::Status;

    use super::*;

    const TIMES: Times =
        Times { heartbeat: Duration::from_secs(15), stall: Duration::from_secs(30), age: Duration::from_secs(1800) };

    /// Sends nothing but heartbeats.
    struct Silent;

    impl Responses for Silent {
        type Response = ();

        async fn run(&mut self, output: &mut Output<()>) -> Result<(), ApiError> {
            let heartbeat = || Ok(((), Resume::Start));
            output.wait_for(std::future::pending(), heartbeat).await
        }
    }

    fn streams(max: usize) -> (Streams, Tasks) {
        let tasks = Tasks::new();
        (Streams::new("test", max, TIMES, tasks.clone()), tasks)
    }

    fn open(streams: &Streams, deadline: Option<Instant>) -> Result<ResponseStream<()>, ApiError> {
        Ok(streams.open(streams.place()?, Resume::Start, deadline, Silent))
    }

    /// How many responses come before the end, and the end.
    async fn read(mut stream: ResponseStream<()>) -> (u64, Status) {
        let mut count = 0;
        loop {
            match stream.next().await.expect("an end with an error") {
                Ok(_) => count += 1,
                Err(status) => return (count, status),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_gets_heartbeats_and_ends_when_it_is_old() {
        let (streams, _tasks) = streams(1);
        let started = Instant::now();
        let (heartbeats, end) = read(open(&streams, None).expect("a place")).await;
        assert_eq!(end.code(), Code::Unavailable);
        let age_secs = started.elapsed().as_secs();
        assert!((1620..=1980).contains(&age_secs), "{age_secs}");
        assert_eq!(heartbeats, age_secs / 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_a_stream() {
        let (streams, _tasks) = streams(1);
        let deadline = Instant::now() + Duration::from_secs(40);
        let (heartbeats, end) = read(open(&streams, Some(deadline)).expect("a place")).await;
        assert_eq!((heartbeats, end.code()), (2, Code::DeadlineExceeded));
        assert_eq!(Instant::now(), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_gives_its_place_back() {
        let (streams, _tasks) = streams(1);
        let never_read = open(&streams, None).expect("a place");
        assert!(open(&streams, None).is_err());
        // The first heartbeat waits for as long as a client may take.
        tokio::time::sleep(TIMES.heartbeat + TIMES.stall + Duration::from_secs(1)).await;
        assert!(open(&streams, None).is_ok());
        assert_eq!(read(never_read).await.1.code(), Code::Aborted);
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_gives_its_place_back() {
        let (streams, tasks) = streams(1);
        drop(open(&streams, None).expect("a place"));
        while open(&streams, None).is_err() {
            tokio::task::yield_now().await;
        }
        tasks.stop_token().cancel();
        tasks.run().await.expect("every stream has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_requests_has_a_place_an_age_and_an_end() {
        let (streams, tasks) = streams(1);
        let code = |result: Result<(), ApiError>| result.map_err(|error| Status::from(error).code());
        assert_eq!(code(streams.take(async { Ok(()) }).await), Ok(()));
        let (endless, started) = (streams.take(std::future::pending()), Instant::now());
        let refused = async {
            tokio::task::yield_now().await;
            streams.take(async { Ok(()) }).await
        };
        let (old, refused) = tokio::join!(endless, refused);
        assert_eq!((code(old), code(refused)), (Err(Code::Unavailable), Err(Code::ResourceExhausted)));
        assert!((1620..=1980).contains(&started.elapsed().as_secs()));
        tasks.stop_token().cancel();
        assert_eq!(code(streams.take(std::future::pending()).await), Err(Code::Unavailable));
    }

    #[tokio::test]
    async fn a_stop_ends_every_stream() {
        let (streams, tasks) = streams(2);
        let all = [open(&streams, None), open(&streams, None)].map(|stream| stream.expect("a place"));
        tasks.stop_token().cancel();
        for stream in all {
            assert_eq!(read(stream).await.1.code(), Code::Unavailable);
        }
        tasks.run().await.expect("every stream has ended");
    }
}

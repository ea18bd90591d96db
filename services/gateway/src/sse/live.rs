//! A stream of events while it is open. It is read only as fast as the browser reads, and keeps nothing.

use std::{mem, time::Duration};

use bytes::Bytes;
use comanda_kit::{errors::ApiError, planted};
use comanda_proto::errors::reason;
use metrics::{counter, gauge};
use prost_reflect::DynamicMessage;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, metadata::MetadataMap};

use super::{
    WAIT,
    event::Event,
    jittered, problem_event,
    watch::{self, Kind, Seen, Start},
};
use crate::{call::Responses, problem::Problem, rest::Served};

/// Servers send a heartbeat every 15 s. What is silent for longer than three is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// After the last transition the server ends the stream at once; a proxy may keep it open.
const AFTER_THE_END: Duration = Duration::from_secs(5);
/// How long the first response may take.
const FIRST: Duration = Duration::from_secs(10);
/// A snapshot that expires while it is sent is not begun for ever on one connection.
const RESETS: usize = 3;

/// What a request for events comes to.
pub enum Opened {
    /// A stream.
    Live(Box<Live>),
    /// The browser has seen everything.
    NothingMore,
}

/// An open stream.
pub struct Live {
    served: Served,
    kind: Kind,
    request: DynamicMessage,
    metadata: MetadataMap,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
    state: State,
    resets_left: usize,
    /// The order has ended: what follows is at most the order as it is.
    has_ended: bool,
}

enum State {
    /// What was read to see whether the stream is one, to be sent first; `None` where it ended at once.
    First(Responses, Option<Bytes>),
    Open(Responses),
    /// After a reset: a snapshot is to be asked for.
    Reopening,
    Closed,
}

/// What a read brought.
enum Read {
    Response(Bytes),
    End,
    Failed(Problem),
}

impl Live {
    /// Opens a stream, and waits for its first response: only then it is known whether it is one.
    pub async fn open(
        served: Served,
        kind: Kind,
        start: Start,
        request: DynamicMessage,
        metadata: MetadataMap,
        place: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) -> Result<Opened, Problem> {
        let message = watch::encoded(&start, kind, &request);
        let state = match begin(&served, message, metadata.clone()).await {
            Ok((responses, first)) => {
                let seen = first.clone().and_then(|first| watch::look(kind, &served.method, first));
                if seen.is_some_and(|seen| seen.is_old_end(&start)) {
                    return Ok(Opened::NothingMore);
                }
                match start {
                    Start::After(_) if planted!("event-after-resume-skipped") => State::Open(responses),
                    _ => State::First(responses, first),
                }
            }
            Err(problem) if is_expired(kind, &problem) => State::Reopening,
            Err(problem) => return Err(problem),
        };
        let live = Self {
            served,
            kind,
            request,
            metadata,
            stop,
            _place: place,
            _counted: Counted::new(),
            state,
            resets_left: RESETS,
            has_ended: false,
        };
        Ok(Opened::Live(Box::new(live)))
    }

    /// The next bytes; `None` once the stream is over.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match mem::replace(&mut self.state, State::Closed) {
                State::Closed => return None,
                State::Reopening => match self.reopen().await {
                    Ok(()) => return Some(Event::new("reset", "{}").id("").retry(jittered(WAIT)).to_bytes()),
                    Err(problem) => return Some(problem_event(&problem)),
                },
                State::First(_, None) => return Some(self.closing(Read::End)),
                State::First(responses, Some(first)) => {
                    let sent = self.pass_on(responses, first);
                    if sent.is_some() {
                        return sent;
                    }
                }
                State::Open(mut responses) => {
                    let bytes = match self.read(&mut responses).await {
                        Read::Response(response) => self.pass_on(responses, response),
                        Read::Failed(problem) => self.fail(problem),
                        Read::End => Some(self.closing(Read::End)),
                    };
                    if bytes.is_some() {
                        return bytes;
                    }
                }
            }
        }
    }

    async fn read(&self, responses: &mut Responses) -> Read {
        let deadline = Instant::now() + if self.has_ended { AFTER_THE_END } else { SILENCE };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Read::Failed(Problem::shutting_down()),
            response = tokio::time::timeout_at(deadline, responses.next()) => match response {
                Ok(Ok(Some(response))) => Read::Response(response),
                Ok(Ok(None)) => Read::End,
                Ok(Err(status)) => Read::Failed(self.served.problem(&status, false)),
                Err(_) => Read::Failed(self.served.problem(&silent(), false)),
            },
        }
    }

    /// A response as bytes; `None` where it tells nothing that this program knows.
    fn pass_on(&mut self, responses: Responses, response: Bytes) -> Option<Bytes> {
        let Some(Seen { event, ends, .. }) = watch::look(self.kind, &self.served.method, response) else {
            return Some(problem_event(&self.served.problem(&ApiError::internal().into(), false)));
        };
        self.has_ended |= ends;
        self.state = State::Open(responses);
        event.map(|event| event.to_bytes())
    }

    fn fail(&mut self, problem: Problem) -> Option<Bytes> {
        if is_expired(self.kind, &problem) && self.resets_left > 0 {
            self.resets_left -= 1;
            self.state = State::Reopening;
            return None;
        }
        Some(self.closing(Read::Failed(problem)))
    }

    /// The last bytes of a stream.
    fn closing(&self, read: Read) -> Bytes {
        match read {
            _ if self.has_ended => Event::new("end", "{}").retry(jittered(WAIT)).to_bytes(),
            Read::Failed(problem) => problem_event(&problem),
            _ => problem_event(&self.served.problem(&ended_early(), false)),
        }
    }

    async fn reopen(&mut self) -> Result<(), Problem> {
        counter!("comanda_gateway_resets_total").increment(1);
        let message = watch::encoded(&Start::Beginning, self.kind, &self.request);
        let opened = self.served.context.servers.stream(&self.served.method, message, self.metadata.clone()).await;
        self.state = State::Open(opened.map_err(|status| self.served.problem(&status, false))?);
        Ok(())
    }
}

/// Opens a stream and reads its first response.
async fn begin(served: &Served, message: Bytes, metadata: MetadataMap) -> Result<(Responses, Option<Bytes>), Problem> {
    let beginning = async {
        let mut responses = served.context.servers.stream(&served.method, message, metadata).await?;
        let first = timeout(FIRST, responses.next()).await.unwrap_or_else(|_| Err(silent()))?;
        Ok((responses, first))
    };
    beginning.await.map_err(|status: Status| served.problem(&status, false))
}

/// Whether only a snapshot can go on.
fn is_expired(kind: Kind, problem: &Problem) -> bool {
    kind == Kind::Orders && problem.is(reason::TOKEN_EXPIRED)
}

fn silent() -> Status {
    ApiError::timed_out().into()
}

fn ended_early() -> Status {
    ApiError::unavailable().into()
}

/// Counts open streams.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!("comanda_gateway_streams").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("comanda_gateway_streams").decrement(1.0);
    }
}

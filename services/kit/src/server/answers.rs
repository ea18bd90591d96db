//! Answers that wait until their client reads them: how many bytes, for each connection and for the process.
//!
//! HTTP/2 lets a client open 256 calls and read none of the answers, each of up to 1 MiB. A connection on which much waits takes no
//! further calls, and one that reads nothing for long is closed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use comanda_proto::errors::reason;
use http_body_util::{BodyExt, Full};
use metrics::{counter, gauge};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use tonic::{Code, Status, body::Body, codegen::http::Response};

use crate::errors::{ApiError, RETRY_AFTER};

/// What may wait on one connection.
const CONNECTION_BYTES: usize = 16 * 1024 * 1024;
/// From here on a connection takes no further calls.
const ENOUGH_BYTES: usize = CONNECTION_BYTES / 2;
/// What may wait in the process.
const PROCESS_BYTES: usize = 256 * 1024 * 1024;
/// For how long a connection may read no answer to its end while some wait.
const STALL: Duration = Duration::from_secs(30);

/// The bytes that all connections share.
#[derive(Clone, Debug)]
pub struct ProcessBytes(Arc<Semaphore>);

impl Default for ProcessBytes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PROCESS_BYTES)))
    }
}

/// The answers that wait on one connection.
#[derive(Debug)]
pub struct Answers {
    process: ProcessBytes,
    connection: Arc<Semaphore>,
    /// When an answer last began to wait while none did, or was read.
    progress: Mutex<Instant>,
}

impl Answers {
    /// Of a new connection.
    pub fn new(process: ProcessBytes) -> Self {
        Self { process, connection: Arc::new(Semaphore::new(CONNECTION_BYTES)), progress: Mutex::new(Instant::now()) }
    }

    /// Whether the connection may have another call; if not, nothing of it was done.
    pub fn check_room(&self) -> Result<(), ApiError> {
        if self.waiting() < ENOUGH_BYTES {
            return Ok(());
        }
        counter!("comanda_refused_calls_total", "reason" => "answers unread").increment(1);
        Err(unread(Code::ResourceExhausted, "many answers of this connection wait to be read: nothing was done"))
    }

    /// The same answer, counted until the client has read it.
    pub async fn hold(self: &Arc<Self>, answer: Response<Body>) -> Response<Body> {
        let (parts, body) = answer.into_parts();
        let collected = match body.collect().await {
            Ok(collected) => collected,
            Err(status) => return status.into_http(),
        };
        let trailers = collected.trailers().cloned();
        let bytes = collected.to_bytes();
        if bytes.is_empty() && trailers.is_none() {
            // An error: its status is in the headers, which must end the stream. Clients in Go take anything else for a broken answer.
            return Response::from_parts(parts, Body::empty());
        }
        match self.waits(bytes) {
            Ok(bytes) => {
                let body = Full::new(bytes).with_trailers(std::future::ready(trailers.map(Ok)));
                Response::from_parts(parts, Body::new(body))
            }
            // The call was done, so this must not say that nothing was.
            Err(()) => Status::from(unread(
                Code::Unavailable,
                "too many answers wait to be read; repeat with the same request_id",
            ))
            .into_http(),
        }
    }

    fn waits(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, ()> {
        let count = u32::try_from(bytes.len()).map_err(drop)?;
        if self.waiting() == 0 {
            self.note_progress();
        }
        let connection = self.connection.clone().try_acquire_many_owned(count).map_err(drop)?;
        let process = self.process.0.clone().try_acquire_many_owned(count).map_err(drop)?;
        gauge!("comanda_unread_answer_bytes").increment(f64::from(count));
        Ok(Bytes::from_owner(Waiting { bytes, answers: self.clone(), _connection: connection, _process: process }))
    }

    /// Ends when the client has read nothing for too long.
    pub async fn stalled(&self) {
        loop {
            let since = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            if self.waiting() > 0 && since.elapsed() >= STALL {
                counter!("comanda_stalled_connections_total").increment(1);
                return;
            }
            sleep(STALL / 6).await;
        }
    }

    fn waiting(&self) -> usize {
        CONNECTION_BYTES - self.connection.available_permits()
    }

    fn note_progress(&self) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

fn unread(code: Code, message: &str) -> ApiError {
    ApiError::new(code, reason::ANSWERS_UNREAD, message).retry_after(RETRY_AFTER)
}

/// The bytes of an answer. HTTP/2 drops them when the last of them is on the wire.
struct Waiting {
    bytes: Bytes,
    answers: Arc<Answers>,
    _connection: OwnedSemaphorePermit,
    _process: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        gauge!("comanda_unread_answer_bytes").decrement(self.bytes.len() as f64);
        self.answers.note_progress();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Response<Body> {
        Response::new(Body::new(Full::new(Bytes::from(vec![0; bytes]))))
    }

    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn a_connection_holds_only_so_much_and_then_takes_no_calls() {
        let answers = Arc::new(Answers::new(ProcessBytes::default()));
        let mut unread = Vec::new();
        for _ in 0..8 {
            answers.check_room().expect("room");
            unread.push(answers.hold(answer(MIB)).await);
        }
        assert_eq!(Status::from(answers.check_room().expect_err("enough waits")).code(), Code::ResourceExhausted);
        // Calls that were taken before are still answered, up to the bound.
        for _ in 8..16 {
            unread.push(answers.hold(answer(MIB)).await);
        }
        let beyond = answers.hold(answer(MIB)).await;
        assert_eq!(Status::from_header_map(beyond.headers()).expect("an error").code(), Code::Unavailable);
        assert_eq!(answers.waiting(), 16 * MIB);
        drop(unread);
        assert_eq!(answers.waiting(), 0);
        answers.check_room().expect("room");
    }

    #[tokio::test]
    async fn all_connections_share_a_bound() {
        let process = ProcessBytes::default();
        let connections: Vec<_> = (0..17).map(|_| Arc::new(Answers::new(process.clone()))).collect();
        let mut unread = Vec::new();
        for connection in &connections[..16] {
            unread.push(connection.hold(answer(16 * MIB)).await);
        }
        let beyond = connections[16].hold(answer(MIB)).await;
        assert!(Status::from_header_map(beyond.headers()).is_some());
        unread.pop();
        assert!(Status::from_header_map(connections[16].hold(answer(MIB)).await.headers()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stalls_when_nothing_is_read_for_long() {
        let answers = Arc::new(Answers::new(ProcessBytes::default()));
        sleep(STALL * 3).await;
        let unread = answers.hold(answer(1)).await;
        let began = Instant::now();
        answers.stalled().await;
        assert!((STALL..STALL * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
        drop(unread);
        let idle = tokio::time::timeout(STALL * 5, answers.stalled()).await;
        assert!(idle.is_err(), "a connection without answers is not stalled");
    }
}

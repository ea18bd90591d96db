//! A stream that is opened after a wait, and that may fall silent.

use std::{fmt, pin::Pin, time::Duration};

use tokio::time::{sleep, timeout};
use tonic::{Code, Response, Status, Streaming};

use crate::error::Error;

type Opening<T> = Pin<Box<dyn Future<Output = Result<Streaming<T>, Error>> + Send>>;

/// A stream of responses.
pub(crate) struct Stream<T> {
    silence: Duration,
    state: State<T>,
}

enum State<T> {
    Closed,
    Opening(Opening<T>),
    Open(Box<Streaming<T>>),
}

impl<T: Send + 'static> Stream<T> {
    /// A closed stream. Once open, one that sends nothing for `silence` has failed.
    pub fn new(silence: Duration) -> Self {
        Self { silence, state: State::Closed }
    }

    /// Opens it at the next read, after `wait`.
    pub fn open<F>(&mut self, wait: Duration, call: F)
    where
        F: Future<Output = Result<Response<Streaming<T>>, Status>> + Send + 'static,
    {
        let silence = self.silence;
        self.state = State::Opening(Box::pin(async move {
            sleep(wait).await;
            let response = timeout(silence, call).await.map_err(|_| silent(silence))?;
            Ok(response?.into_inner())
        }));
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The next response, if it comes within `patience`. The end of the stream is an error too: only a watch knows whether it came too
    /// early. Nothing is lost where the returned future is dropped.
    pub async fn next(&mut self, patience: Duration) -> Result<T, Error> {
        if let State::Opening(opening) = &mut self.state {
            self.state = State::Open(Box::new(opening.await?));
        }
        let State::Open(stream) = &mut self.state else { return Err(ended()) };
        let patience = patience.min(self.silence);
        let response = timeout(patience, stream.message()).await.map_err(|_| silent(patience))?;
        response?.ok_or_else(ended)
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Closed => "closed",
            State::Opening(_) => "opening",
            State::Open(_) => "open",
        };
        f.debug_tuple("Stream").field(&state).finish()
    }
}

fn ended() -> Error {
    Error::new(Code::Unavailable, "the stream ended early")
}

fn silent(patience: Duration) -> Error {
    Error::new(Code::Unavailable, format!("nothing was received for {} s", patience.as_secs_f64()))
}

//! With which credentials a watch opened its stream.

use tonic::Code;

use crate::{credentials::Credentials, error::Error, retry};

/// The credentials of a watch, and which token they showed when its stream was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    credentials: Credentials,
    version: u64,
}

impl Opened {
    /// Not opened yet.
    pub fn with(credentials: &Credentials) -> Self {
        Self { credentials: credentials.clone(), version: 0 }
    }

    /// Notes that the stream is opened now.
    pub fn note(&mut self) {
        self.version = self.credentials.version();
    }

    /// Whether a stream that ended with this error may be opened again where it was: also one whose credentials ended, if there are others now.
    pub fn may_resume(&self, error: &Error) -> bool {
        retry::may_resume(error) || error.code == Code::Unauthenticated && self.credentials.version() > self.version
    }
}

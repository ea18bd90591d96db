//! How a command fails: an exit code for scripts, one message for people.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::terminal::escape_lines;

/// What the shell sees. Code 2, wrong usage, comes from the parser of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The reader of our output has closed it (`| head`): nothing failed.
    Silent = 0,
    /// Refused or failed: nothing was applied.
    Refused = 1,
    /// No server, or the outcome is unknown: the same request may be repeated.
    Unknown = 3,
    /// There is no such thing.
    NotFound = 4,
    /// Ctrl-C, as shells report it.
    Interrupted = 130,
}

/// The end of a command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// For standard error; may have several lines.
    pub message: String,
}

impl Failure {
    /// A failure with this exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Refused or failed, with nothing applied.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// Adds a line of advice if the outcome is unknown.
    #[must_use]
    pub fn advise_if_unknown(mut self, advice: &str) -> Self {
        if self.exit == Exit::Unknown {
            self.message = format!("{}\n  {advice}", self.message);
        }
        self
    }

    /// Tells standard error and returns the exit code.
    pub fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            // If standard error is closed, the message is lost; the exit code remains.
            let _ = writeln!(io::stderr(), "error: {}", escape_lines(&self.message));
        }
        ExitCode::from(self.exit as u8)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Silent, ""),
            _ => Self::refused(format!("cannot write the output: {error}")),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<io::Error>() {
            Some(output) if output.kind() == io::ErrorKind::BrokenPipe => Self::new(Exit::Silent, ""),
            _ => Self::refused(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(gone()).exit, Exit::Silent);
        assert_eq!(Failure::from(anyhow::Error::from(gone())).exit, Exit::Silent);
        assert_eq!(Failure::from(anyhow::anyhow!("no database")).message, "no database");
    }

    #[test]
    fn advice_is_for_unknown_outcomes_only() {
        let message = |exit| Failure::new(exit, "what").advise_if_unknown("again").message;
        assert_eq!(message(Exit::Unknown), "what\n  again");
        assert_eq!(message(Exit::Refused), "what");
    }
}

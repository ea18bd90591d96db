//! Reads a history from a file.

use std::io::{self, BufRead};

use thiserror::Error;

use crate::history::Line;

/// A history that cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("cannot read the history: {0}")]
    Io(#[from] io::Error),
    /// A line that is none of a history; lines count from 1.
    #[error("line {line} of the history is none ({error}); was it written by another version of the recorder?")]
    Malformed {
        /// Which line.
        line: usize,
        /// Why.
        error: serde_json::Error,
    },
}

/// The lines of a history, one by one. A last line that was cut in the middle, as a killed run leaves it, is left out.
pub fn lines(reader: impl BufRead) -> impl Iterator<Item = Result<Line, ReadError>> {
    let mut texts = reader.split(b'\n').enumerate().peekable();
    std::iter::from_fn(move || {
        let (number, text) = texts.next()?;
        let text = match text {
            Ok(text) => text,
            Err(error) => return Some(Err(error.into())),
        };
        match serde_json::from_slice(&text) {
            Ok(line) => Some(Ok(line)),
            Err(_) if texts.peek().is_none() => None,
            Err(error) => Some(Err(ReadError::Malformed { line: number + 1, error })),
        }
    })
}

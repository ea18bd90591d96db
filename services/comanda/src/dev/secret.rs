//! Secrets of the private installation: made once, and kept in files that only their owner reads.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, Result};

/// What the file holds; where there is none, what `make` makes, which it holds from now on.
pub fn kept(file: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    if let Ok(secret) = fs::read_to_string(file) {
        return Ok(secret);
    }
    let secret = make()?;
    let mut options = fs::OpenOptions::new();
    let mut opened =
        options.write(true).create_new(true).mode(0o600).open(file).context("cannot write to the data directory")?;
    opened.write_all(secret.as_bytes())?;
    Ok(secret)
}

//! How often a second this disk makes a page durable: the bound of every transaction that commits alone.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::per_second;
use crate::{
    latency::Recorder,
    report::{Better, Run},
};

const PAGE_BYTES: usize = 8192;
/// As large as a segment of Postgres' WAL, written over and over as that is.
const FILE_PAGES: u64 = 2048;

/// One writer: a page, fdatasync, the next page.
pub async fn fsync(folder: &Path, duration: Duration, run: &mut Run) -> Result<()> {
    let file = scratch(folder).with_context(|| format!("cannot write in {}", folder.display()))?;
    let (rate, recorder) = spawn_blocking(move || write(&file, duration)).await??;
    run.figure("fsync of 8 KiB", "1/s", rate, Better::Higher);
    run.timing(recorder.latency("fsync of 8 KiB"));
    Ok(())
}

/// A file full of zeros that is gone once it is closed.
fn scratch(folder: &Path) -> Result<File> {
    let path = folder.join(format!("comanda-probe-{}", Uuid::new_v4()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    for page in 0..FILE_PAGES {
        file.write_all_at(&[0; PAGE_BYTES], page * PAGE_BYTES as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn write(file: &File, duration: Duration) -> Result<(f64, Recorder)> {
    let (recorder, mut page) = (Recorder::default(), 0);
    let rate = per_second(duration, || {
        let started = Instant::now();
        file.write_all_at(&[1; PAGE_BYTES], page % FILE_PAGES * PAGE_BYTES as u64)?;
        file.sync_data()?;
        recorder.record(started.elapsed());
        page += 1;
        Ok(1)
    })?;
    Ok((rate, recorder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_written_and_gone() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("probe-test-{}", Uuid::new_v4()));
        fs::create_dir(&folder)?;
        let mut run = Run::default();
        fsync(&folder, Duration::from_millis(20), &mut run).await?;
        assert!(run.value("fsync of 8 KiB").is_some_and(|rate| rate > 0.0));
        assert_eq!(fs::read_dir(&folder)?.count(), 0);
        Ok(fs::remove_dir(&folder)?)
    }
}

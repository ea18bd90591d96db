//! The process that is attacked: whether it lives, how large it is, and what its log says.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

use anyhow::{Context, Result};

use crate::cluster::ALARMS;

/// A process.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    /// Where its errors go, if that is a file, and how much of it was there before.
    log: Option<(PathBuf, u64)>,
}

impl Process {
    /// The process with this id.
    pub fn of(pid: u32) -> Result<Self> {
        let process = Self { pid: pid.try_into().context("no process has this id")?, log: log_of(pid) };
        process.rss_bytes()?;
        Ok(process)
    }

    /// How much memory it occupies. Fails once it has ended.
    pub fn rss_bytes(&self) -> Result<u64> {
        let status = procfs::process::Process::new(self.pid).and_then(|process| process.status());
        let status = status.with_context(|| format!("process {} has ended", self.pid))?;
        Ok(status.vmrss.with_context(|| format!("process {} has ended", self.pid))? * 1024)
    }

    /// Lines of its log that no log may have, from the beginning of the trial on. `None` where its errors do not go into a file.
    pub fn alarms(&self) -> Option<Vec<String>> {
        let (path, from) = self.log.as_ref()?;
        let mut file = File::open(path).ok()?;
        file.seek(SeekFrom::Start(*from)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let alarming = text.lines().filter(|line| ALARMS.iter().any(|alarm| line.contains(alarm)));
        Some(alarming.map(str::to_owned).collect())
    }
}

fn log_of(pid: u32) -> Option<(PathBuf, u64)> {
    let path = fs::read_link(format!("/proc/{pid}/fd/2")).ok()?;
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    Some((path, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_occupies_memory_and_one_that_is_not_there_is_an_error() {
        let own = Process::of(std::process::id()).expect("it runs");
        assert!(own.rss_bytes().expect("it runs") > 1024 * 1024);
        assert!(Process::of(i32::MAX.cast_unsigned()).is_err());
    }
}

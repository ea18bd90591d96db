//! Taking what processes need: the processors' time, and files.

use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use anyhow::{Context, Result, ensure};
use procfs::process::{LimitValue, Process};
use tokio::process::Command;

/// Files that a process may still open when it may hardly open any.
const SPARE_FILES: usize = 2;

/// Threads that do nothing as fast as they can, until this is dropped.
#[derive(Debug)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Twice as many as there are processors.
    pub fn start() -> Self {
        let busy = Arc::new(AtomicBool::new(true));
        for _ in 0..2 * thread::available_parallelism().map_or(2, usize::from) {
            let goes_on = busy.clone();
            thread::spawn(move || {
                while goes_on.load(Relaxed) {
                    spin_loop();
                }
            });
        }
        Self(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// The limit under which a process can open hardly any file beside those that it has.
pub fn no_more_files(pid: u32) -> Result<String> {
    let open = process(pid)?.fd_count().context("its files cannot be counted")?;
    Ok(format!("{}:", open + SPARE_FILES))
}

/// The limit under which it can open as many as ever.
pub fn files_again(pid: u32) -> Result<String> {
    Ok(match process(pid)?.limits()?.max_open_files.hard_limit {
        LimitValue::Value(most) => format!("{most}:"),
        LimitValue::Unlimited => "unlimited:".into(),
    })
}

fn process(pid: u32) -> Result<Process> {
    Ok(Process::new(pid.try_into()?)?)
}

/// Sets how many files a process may have open: soft and hard limit, as `prlimit` takes them.
pub async fn set_limit(pid: u32, limit: &str) -> Result<()> {
    let mut prlimit = Command::new("prlimit");
    prlimit.arg(format!("--pid={pid}")).arg(format!("--nofile={limit}"));
    let status = prlimit.status().await.context("there is no program `prlimit` (package util-linux)")?;
    ensure!(status.success(), "prlimit {limit} failed");
    Ok(())
}

//! A process of the cluster: started, watched, sent signals, started again.

use std::{
    fs::File,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex as SyncMutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use comanda_checker::history::What;
use tokio::{
    process::{Child, Command},
    sync::{Mutex, watch},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::folder::processes_in;
use crate::recorder::Recorder;

/// Until a process that ended by itself is started again, as a supervisor in production would.
const RESTART: Duration = Duration::from_secs(1);
/// Until a process that does not end is killed.
const END: Duration = Duration::from_secs(30);

/// A signal that a trial sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Signal {
    Kill,
    Term,
    /// Postgres: roll everything back and stop.
    Int,
    /// Postgres: stop at once, and recover at the next start.
    Quit,
    Stop,
    Continue,
}

impl Signal {
    fn flag(self) -> &'static str {
        match self {
            Self::Kill => "-KILL",
            Self::Term => "-TERM",
            Self::Int => "-INT",
            Self::Quit => "-QUIT",
            Self::Stop => "-STOP",
            Self::Continue => "-CONT",
        }
    }
}

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// As in the history.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, beside ours.
    pub environment: Vec<(String, String)>,
    /// Where it works: a folder of the run, which is how it is found after a crash.
    pub folder: PathBuf,
    /// Where it writes, appended over restarts.
    pub log: PathBuf,
    /// User and group, if not ours.
    pub account: Option<(u32, u32)>,
}

/// What ours may hold, and no process of a trial may see.
const OURS: [&str; 5] = ["COMANDA_", "SMTP_", "DATABASE_URL", "KAFKA_", "RUST_LOG"];

impl Launch {
    /// The command, with output to the log.
    pub fn command(&self) -> Result<Command> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if OURS.iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
                command.env_remove(name);
            }
        }
        command.args(&self.arguments).envs(self.environment.iter().cloned()).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // An interrupt from the terminal is for the trial, which then stops them in its own order.
        command.process_group(0).kill_on_drop(true);
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }

    /// Runs a command to its end.
    pub async fn run(&self, patience: Duration) -> Result<()> {
        self.finish(self.command()?, patience).await.map(drop)
    }

    /// The same; what it prints on standard output is returned, and is not in the log.
    pub async fn read(&self, patience: Duration) -> Result<String> {
        let mut command = self.command()?;
        command.stdout(Stdio::piped());
        Ok(String::from_utf8(self.finish(command, patience).await?)?)
    }

    async fn finish(&self, mut command: Command, patience: Duration) -> Result<Vec<u8>> {
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let ended = timeout(patience, child.wait_with_output()).await;
        let output = ended.with_context(|| format!("{} takes too long", self.name))??;
        if !output.status.success() {
            bail!("{} failed ({}):\n{}", self.name, output.status, self.end_of_log());
        }
        Ok(output.stdout)
    }

    /// The last lines that it wrote.
    pub fn end_of_log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// A process that lasts; a handle that may be cloned. It is killed when the run's runtime ends.
#[derive(Clone, Debug)]
pub struct Process {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    launch: Launch,
    /// What runs from its next start on: the program of its launch, or one that replaces it.
    program: SyncMutex<PathBuf>,
    /// Where it serves.
    address: SocketAddr,
    recorder: Recorder,
    tasks: TaskTracker,
    /// Its pid while it runs.
    pid: watch::Sender<Option<u32>>,
    /// Whether its end is ours.
    wanted: AtomicBool,
    starting: Mutex<()>,
}

impl Process {
    /// One that does not run yet. `tasks` will hold who waits for its end.
    pub fn new(launch: Launch, address: SocketAddr, recorder: Recorder, tasks: TaskTracker) -> Self {
        let (pid, wanted, starting) = (watch::Sender::default(), AtomicBool::default(), Mutex::default());
        let program = SyncMutex::new(launch.program.clone());
        Self { shared: Arc::new(Shared { launch, program, address, recorder, tasks, pid, wanted, starting }) }
    }

    /// As in the history.
    pub fn name(&self) -> &str {
        &self.shared.launch.name
    }

    /// Where it serves, whenever it runs.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// How it is started.
    pub fn launch(&self) -> &Launch {
        &self.shared.launch
    }

    /// From its next start on it runs another program.
    pub fn replace_program(&self, program: PathBuf) {
        *self.shared.program.lock().expect("no holder panics") = program;
    }

    /// Its pid, if it runs.
    pub fn pid(&self) -> Option<u32> {
        *self.shared.pid.borrow()
    }

    /// Starts it, if it does not run.
    pub async fn start(&self) -> Result<()> {
        if let Some(child) = self.spawn().await? {
            self.shared.tasks.spawn(self.clone().watch(child));
        }
        Ok(())
    }

    /// Whether it may end by itself from now on, as where it finds no room on a disk; it is then left so.
    pub fn may_end(&self, may: bool) {
        self.shared.wanted.store(may, SeqCst);
    }

    async fn spawn(&self) -> Result<Option<Child>> {
        let _one_at_a_time = self.shared.starting.lock().await;
        if self.pid().is_some() {
            return Ok(None);
        }
        let program = self.shared.program.lock().expect("no holder panics").clone();
        let launch = Launch { program, ..self.launch().clone() };
        let child = launch.command()?.spawn().with_context(|| format!("cannot start {}", self.name()))?;
        let pid = child.id().context("it has not been waited for")?;
        self.shared.wanted.store(false, SeqCst);
        self.shared.pid.send_replace(Some(pid));
        self.shared.recorder.record(What::Started { process: self.name().into(), pid });
        Ok(Some(child))
    }

    /// Waits for its end; where nobody wanted that, starts it again.
    async fn watch(self, mut child: Child) {
        while !self.ended(&mut child).await {
            sleep(RESTART).await;
            if self.shared.wanted.load(SeqCst) {
                return;
            }
            match self.spawn().await {
                Ok(Some(next)) => child = next,
                // Another task was faster, or it cannot be started any more, which shows where its service is waited for.
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Waits for its end and notes it; returns whether it was wanted.
    async fn ended(&self, child: &mut Child) -> bool {
        let pid = child.id().unwrap_or_default();
        let status = child.wait().await.unwrap_or(ExitStatus::from_raw(0));
        let wanted = self.shared.wanted.load(SeqCst);
        let (process, code, signal) = (self.name().to_owned(), status.code(), status.signal());
        self.shared.recorder.record(What::Exited { process, pid, code, signal, wanted });
        self.shared.pid.send_replace(None);
        wanted
    }

    /// Sends a signal to it, and to its children where it has any.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid() else { bail!("{} does not run", self.name()) };
        let mut pids = vec![pid];
        if matches!(signal, Signal::Stop | Signal::Continue) {
            pids = processes_in(&self.launch().folder);
        }
        send(signal, &pids).await
    }

    /// Ends it with a signal, which the history notes as wanted, and waits until it is gone. What does not end is killed.
    pub async fn end(&self, signal: Signal) -> Result<()> {
        self.shared.wanted.store(true, SeqCst);
        let Some(pid) = self.pid() else { return Ok(()) };
        send(signal, &[pid]).await?;
        let mut running = self.shared.pid.subscribe();
        if timeout(END, running.wait_for(Option::is_none)).await.is_ok() {
            return Ok(());
        }
        let line = format!("did not end within {END:?} of {signal:?}");
        self.shared.recorder.record(What::Alarm { process: self.name().into(), line });
        send(Signal::Kill, &[pid]).await?;
        timeout(END, running.wait_for(Option::is_none)).await.context("a killed process does not end")??;
        Ok(())
    }
}

async fn send(signal: Signal, pids: &[u32]) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.arg(signal.flag()).args(pids.iter().map(u32::to_string)).stderr(Stdio::null());
    // Some may have ended meanwhile, which `kill` complains of.
    kill.status().await.context("there is no program `kill`")?;
    Ok(())
}

//! Where everything of a run lies, and how nothing of it outlives the run.

use std::{
    env,
    fs::{self, File},
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context, Result};
use uuid::Uuid;

const PREFIX: &str = "comanda-trial-";
/// Locked by its run for as long as that lives, however it ends.
const LOCK: &str = "lock";
/// Runs of this process that create their folders.
static CREATING: Mutex<()> = Mutex::new(());
/// Says that the folder is to stay.
const KEPT: &str = "kept";

/// Waits for the end of the process that holds its input, and then kills everything that works in the folder.
const WATCHDOG: &str = r#"
cat >/dev/null
for link in /proc/[0-9]*/cwd; do
  case $(readlink "$link" 2>/dev/null)/ in
    "$1"/*) pid=${link#/proc/} && kill -KILL "${pid%/cwd}" ;;
  esac
done 2>/dev/null
"#;

/// The folder of a run. All processes of a run work in it or below, which is how those of a run that crashed are found.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
    watchdog: Child,
}

impl Folder {
    /// Makes one among the system's temporary files, after the leavings of crashed runs were removed.
    pub fn create() -> Result<Self> {
        // A folder that is not locked yet would look like one of a run that is gone.
        let _one_at_a_time = CREATING.lock().expect("no holder panics");
        let base = env::temp_dir().canonicalize()?;
        sweep(&base)?;
        let path = base.join(format!("{PREFIX}{}", Uuid::now_v7().simple()));
        fs::create_dir(&path)
            .with_context(|| format!("cannot make {}; set TMPDIR to a folder of yours", path.display()))?;
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(&path).current_dir("/").process_group(0);
        let watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().context("cannot start a shell")?;
        Ok(Self { path, _lock: lock, watchdog })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has it stay, also through the sweeping of later runs.
    pub fn keep(&self) -> Result<()> {
        Ok(fs::write(self.path.join(KEPT), "")?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Lets the watchdog do its work, which is none if all went well, and waits for its end.
        drop(self.watchdog.stdin.take());
        _ = self.watchdog.wait();
        if !self.path.join(KEPT).exists() {
            _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Ends what still works in the folders of runs that are gone, and removes those that nobody wanted to keep.
fn sweep(base: &Path) -> Result<()> {
    for entry in fs::read_dir(base)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) && is_abandoned(&path) {
            kill_all(&processes_in(&path))?;
            if !path.join(KEPT).exists() {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// Whether its run is gone. A folder that belongs to somebody else, or is just being made, is left alone.
fn is_abandoned(path: &Path) -> bool {
    File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

/// Processes that work in a folder or below it.
pub fn processes_in(folder: &Path) -> Vec<u32> {
    let all = procfs::process::all_processes().into_iter().flatten().flatten();
    let inside = all.filter(|process| process.cwd().is_ok_and(|cwd| cwd.starts_with(folder)));
    inside.filter_map(|process| u32::try_from(process.pid).ok()).collect()
}

fn kill_all(pids: &[u32]) -> Result<()> {
    if pids.is_empty() {
        return Ok(());
    }
    // Some may end meanwhile, which `kill` complains of.
    let killed = Command::new("kill").arg("-KILL").args(pids.iter().map(u32::to_string)).stderr(Stdio::null()).status();
    match killed {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(error).context("there is no program `kill`"),
        other => other.map(|_| ()).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// A process that would outlive the test by far.
    fn sleeper(folder: &Path) -> Child {
        Command::new("sleep").arg("600").current_dir(folder).spawn().expect("a program `sleep`")
    }

    fn ends(mut child: Child) {
        let begun = Instant::now();
        while child.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn nothing_that_works_in_a_folder_outlives_it() {
        let folder = Folder::create().expect("a folder");
        let (path, child) = (folder.path().to_owned(), sleeper(folder.path()));
        assert_eq!(processes_in(&path), [child.id()]);
        drop(folder);
        ends(child);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_crashed_run_left_is_removed_and_a_living_one_is_left_alone() {
        let base = env::temp_dir().join(Uuid::now_v7().to_string());
        let (living, dead) = (base.join(format!("{PREFIX}living")), base.join(format!("{PREFIX}dead")));
        for path in [&living, &dead] {
            fs::create_dir_all(path).expect("a folder");
        }
        let [lock, _] = [&living, &dead].map(|path| File::create(path.join(LOCK)).expect("a file"));
        lock.lock().expect("nobody holds it");
        let child = sleeper(&dead);
        sweep(&base).expect("swept");
        ends(child);
        assert!(living.exists() && !dead.exists());
        fs::remove_dir_all(&base).expect("ours");
    }
}

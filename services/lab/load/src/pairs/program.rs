//! A program that measures, as a process of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{cost::children, report::Report};

/// How many lines of its log tell why a run left no report.
const LAST_LINES: usize = 3;
/// How long a program may take to end once it was told to.
const STOP: Duration = Duration::from_secs(20);

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub path: PathBuf,
    /// What stands behind `load`.
    pub workload: Vec<String>,
    /// Further environment: name and value.
    pub environment: Vec<(String, String)>,
    /// How long a run may take.
    pub most: Duration,
}

impl Program {
    /// An error if it is no file.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.path.is_file(), "there is no program {}", self.path.display());
        Ok(())
    }

    /// Runs it once. Its report may say that the run is void.
    pub(super) async fn run(&self, folder: &Path) -> Result<Report> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (file, log) = (folder.join("report.json"), folder.join("run.log"));
        // A report of an earlier measurement must not be taken for this one's.
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let mut child = self.start(folder, &log)?;
        let Ok(ended) = timeout(self.most, child.wait()).await else {
            stop(&mut child).await?;
            bail!("it did not end within {:?}", self.most);
        };
        let ended = ended?;
        ensure!(file.exists(), "no report ({ended}); the end of {}:\n{}", log.display(), end_of(&log));
        Report::read(&file)
    }

    fn start(&self, folder: &Path, log: &Path) -> Result<Child> {
        // A bare name would be looked for on PATH.
        let path = self.path.canonicalize()?;
        let log = File::create(log)?;
        let mut command = Command::new(&path);
        command.arg("load").args(&self.workload).args(["--repeats", "1", "--output"]).arg(folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        command.spawn().with_context(|| format!("cannot start {}", path.display()))
    }
}

/// Ends a program that takes too long, and the roles that it has started.
async fn stop(child: &mut Child) -> Result<()> {
    let Some(pid) = child.id() else { return Ok(()) };
    let pid = i32::try_from(pid)?;
    for pid in children(pid).into_iter().chain([pid]) {
        // Fails only if it has ended.
        _ = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await;
    }
    timeout(STOP, child.wait()).await.context("it does not stop")??;
    Ok(())
}

fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use uuid::Uuid;

    use super::*;

    /// A shell script in a folder of its own, as a program. Its words are `load lives --orders 7 --repeats 1 --output FOLDER`, so that `$8`
    /// is the folder.
    fn script(text: &str) -> Result<(Program, PathBuf)> {
        let folder = std::env::temp_dir().join(format!("pairs-test-{}", Uuid::new_v4()));
        fs::create_dir(&folder)?;
        let path = folder.join("program");
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let workload = vec!["lives".into(), "--orders".into(), "7".into()];
        let environment = vec![("PAIRS_TEST".to_owned(), "5".to_owned())];
        Ok((Program { path, workload, environment, most: Duration::from_secs(60) }, folder))
    }

    #[tokio::test]
    async fn a_program_gets_the_workload_and_leaves_its_report() -> Result<()> {
        let (program, folder) = script(
            r#"echo "$@" >"$8/words"; echo '{"title": "of '"$3 $4 $PAIRS_TEST"'", "environment": [], "runs": []}' >"$8/report.json""#,
        )?;
        let report = program.run(&folder.join("run")).await?;
        assert_eq!(report.title, "of --orders 7 5");
        let words = fs::read_to_string(folder.join("run/words"))?;
        assert!(words.starts_with("load lives --orders 7 --repeats 1 --output /"), "{words}");
        Ok(fs::remove_dir_all(&folder)?)
    }

    #[tokio::test]
    async fn a_run_without_a_report_says_why_and_an_old_report_does_not_count() -> Result<()> {
        let (program, folder) = script("echo no Postgres answers >&2; exit 3")?;
        fs::create_dir(folder.join("run"))?;
        Report::default().write(&folder.join("run/report.json"))?;
        let error = program.run(&folder.join("run")).await.expect_err("no report").to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("no Postgres answers"), "{error}");
        Ok(fs::remove_dir_all(&folder)?)
    }

    #[tokio::test]
    async fn a_run_that_takes_too_long_is_ended_with_what_it_has_started() -> Result<()> {
        let (program, folder) = script("sleep 600 & echo $! >\"$8/child\"; wait")?;
        let program = Program { most: Duration::from_millis(500), ..program };
        let error = program.run(&folder.join("run")).await.expect_err("too long").to_string();
        assert!(error.contains("did not end"), "{error}");
        let child: i32 = fs::read_to_string(folder.join("run/child"))?.trim().parse()?;
        let ended = crate::stage::within(Duration::from_secs(10), async || {
            let stat = procfs::process::Process::new(child).and_then(|process| process.stat());
            stat.map_or(true, |stat| stat.state == 'Z').then_some(())
        });
        ended.await?;
        Ok(fs::remove_dir_all(&folder)?)
    }
}

//! A run from an empty folder to its judgement.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};

use crate::{
    cluster::Folder,
    nemesis::Field,
    report::Report,
    run::{self, DUMP, HISTORY, Scenario},
};

/// A run that was made and judged.
#[derive(Debug)]
pub struct Attempt {
    /// What it came to.
    pub report: Report,
    /// The report's table, with the first violation of each invariant.
    pub table: String,
    /// Where history and report are.
    pub output: PathBuf,
    folder: Folder,
}

impl Attempt {
    /// Makes a run, in a runtime of its own, with something more that is done while clients are at work. An error means that it could
    /// not be made; what there is of it is kept then.
    pub fn make(scenario: &Scenario, output: PathBuf, act: impl AsyncFnOnce(Arc<Field>) -> Result<()>) -> Result<Self> {
        make_room(&output)?;
        let folder = Folder::create()?;
        eprintln!("again: {}\nlogs and data: {}", scenario.replay, folder.path().display());
        let lasted = last(scenario, &folder, &output, act);
        if lasted.is_err() {
            folder.keep()?;
        }
        lasted.with_context(|| format!("the run failed; its logs are in {}", folder.path().display()))?;
        let report = Report::of(&output)?;
        let table = report.write(&output, &scenario.replay)?;
        Ok(Self { report, table, output, folder })
    }

    /// Keeps history, logs and data, or has them go; the report stays.
    pub fn end(self, keep: bool) -> Result<()> {
        if !keep {
            eprintln!("report: {}", self.output.display());
            return make_room(&self.output);
        }
        self.folder.keep()?;
        eprintln!("history: {}, logs and data: {}", self.output.display(), self.folder.path().display());
        Ok(())
    }
}

#[tokio::main]
async fn last(
    scenario: &Scenario,
    folder: &Folder,
    output: &Path,
    act: impl AsyncFnOnce(Arc<Field>) -> Result<()>,
) -> Result<()> {
    tokio::select! {
        ended = run::run(scenario, folder, output, act) => ended,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// A run of the same name before this one left the same files.
fn make_room(output: &Path) -> Result<()> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}; choose another --output", output.display()))?;
    for file in [HISTORY, DUMP].map(|file| output.join(file)) {
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

//! Makes one trial and judges it.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use comanda_checker::{case::Case, history::Line};

use super::{
    Options,
    facts::Facts,
    goal::Goal,
    table::Outcome,
    trial::{Terms, Trial},
};
use crate::{
    cluster::Folder,
    report::{self, Report},
    run::{self, DUMP, HISTORY, Scenario},
};

/// Makes a trial, writes its report and returns what it came to.
pub fn run(trial: &'static Trial, options: &Options, binary: &Path) -> Result<Outcome> {
    let terms = Terms { scale: options.scale, seed: options.seed };
    let scenario = (trial.plan)(&terms).scenario(trial, &terms, binary);
    let output = options.output.join(format!("named-{}", trial.name));
    make_room(&output)?;
    let folder = Folder::create()?;
    eprintln!("{}: logs and data in {}", trial.name, folder.path().display());
    let lasted = last(trial, terms, &scenario, &folder, &output);
    if lasted.is_err() {
        folder.keep()?;
    }
    lasted.with_context(|| format!("the run failed; its logs are in {}", folder.path().display()))?;
    let outcome = judge(trial, terms, &scenario, &output)?;
    if options.keep || !outcome.is_good() {
        folder.keep()?;
        eprintln!("history: {}", output.display());
    } else {
        make_room(&output)?;
    }
    Ok(outcome)
}

fn judge(trial: &'static Trial, terms: Terms, scenario: &Scenario, output: &Path) -> Result<Outcome> {
    let report = Report::of(output)?;
    eprintln!("{}", report.write(output, &scenario.replay)?);
    let mut lines: Vec<Line> = report::lines(output)?;
    lines.sort_by_key(|line| line.at_us);
    let case = Case::new(&lines);
    let facts = Facts { case: &case, verdict: &report.verdict, scale: terms.scale };
    let goals: Vec<Goal> = (trial.goals)(&facts);
    Ok(Outcome { trial: trial.name, scale: terms.scale, commit: report.run.commit, verdict: report.verdict, goals })
}

#[tokio::main]
async fn last(trial: &Trial, terms: Terms, scenario: &Scenario, folder: &Folder, output: &Path) -> Result<()> {
    let act = async |field| match trial.act {
        Some(act) => act(field, terms).await,
        None => Ok(()),
    };
    tokio::select! {
        ended = run::run_with(scenario, folder, output, act) => ended,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// A trial of the same name before this one left the same files.
fn make_room(output: &Path) -> Result<()> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}; choose another --output", output.display()))?;
    for file in [HISTORY, DUMP].map(|file| output.join(file)) {
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

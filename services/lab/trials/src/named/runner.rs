//! Makes one trial and judges it.

use std::path::Path;

use anyhow::Result;
use comanda_checker::{case::Case, history::Line};

use super::{
    Options,
    facts::Facts,
    table::Outcome,
    trial::{Terms, Trial},
};
use crate::{attempt::Attempt, report};

/// Makes a trial, writes its report and returns what it came to.
pub fn run(trial: &'static Trial, options: &Options, binary: &Path) -> Result<Outcome> {
    let terms = Terms { scale: options.scale, seed: options.seed };
    let scenario = (trial.plan)(&terms).scenario(trial, &terms, binary);
    eprintln!("{}", trial.name);
    let output = options.output.join(format!("named-{}", trial.name));
    let attempt = Attempt::make(&scenario, output, async |field| match trial.act {
        Some(act) => act(field, terms).await,
        None => Ok(()),
    })?;
    eprintln!("{}", attempt.table);
    let outcome = judge(trial, terms, &attempt)?;
    attempt.end(options.keep || !outcome.is_good())?;
    Ok(outcome)
}

fn judge(trial: &'static Trial, terms: Terms, attempt: &Attempt) -> Result<Outcome> {
    let mut lines: Vec<Line> = report::lines(&attempt.output)?;
    lines.sort_by_key(|line| line.at_us);
    let (case, verdict) = (Case::new(&lines), attempt.report.verdict.clone());
    let goals = (trial.goals)(&Facts { case: &case, verdict: &verdict, scale: terms.scale });
    Ok(Outcome { trial: trial.name, scale: terms.scale, commit: attempt.report.run.commit.clone(), verdict, goals })
}

//! Makes one trial and judges it.

use anyhow::Result;
use comanda_checker::{case::Case, history::Line};

use super::{
    How,
    facts::Facts,
    table::Outcome,
    trial::{Terms, Trial},
};
use crate::{attempt::Attempt, report};

/// Makes a trial, writes its report and returns what it came to.
pub fn run(trial: &'static Trial, how: &How, terms: &Terms) -> Result<Outcome> {
    let scenario = (trial.plan)(terms).scenario(trial, terms);
    eprintln!("{}", trial.name);
    let output = how.output.join(format!("named-{}", trial.name));
    let attempt = Attempt::make(&scenario, output, async |field| match trial.act {
        Some(act) => act(field, terms.clone()).await,
        None => Ok(()),
    })?;
    eprintln!("{}", attempt.table);
    let outcome = judge(trial, terms, &attempt)?;
    attempt.end(how.keep || !outcome.is_good())?;
    Ok(outcome)
}

fn judge(trial: &'static Trial, terms: &Terms, attempt: &Attempt) -> Result<Outcome> {
    let mut lines: Vec<Line> = report::lines(&attempt.output)?;
    lines.sort_by_key(|line| line.at_us);
    let (case, verdict) = (Case::new(&lines), attempt.report.verdict.clone());
    let goals = (trial.goals)(&Facts { case: &case, verdict: &verdict, scale: terms.scale });
    Ok(Outcome { trial: trial.name, scale: terms.scale, commit: attempt.report.run.commit.clone(), verdict, goals })
}

//! What named trials came to, as rows of a table.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use comanda_checker::Verdict;
use time::{OffsetDateTime, macros::format_description};

use super::{goal::Goal, trial::Trial};
use crate::report::outcome;

/// The head of the table, on the terminal and on the page of results.
pub const HEAD: &str = "\
| trial | goal | measured | met | violations | scale | date | system |
|---|---|---|---|---|---|---|---|";

/// A trial that was made.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub trial: &'static str,
    /// On which scale.
    pub scale: f64,
    /// What was attacked.
    pub commit: String,
    /// The checker's judgement.
    pub verdict: Verdict,
    /// The trial's own.
    pub goals: Vec<Goal>,
}

impl Outcome {
    /// Whether nothing was violated and each goal reached.
    pub fn is_good(&self) -> bool {
        self.verdict.outcome() == comanda_checker::Outcome::Pass && self.goals.iter().all(Goal::is_met)
    }

    /// A row for each goal.
    pub fn rows(&self) -> Result<Vec<String>> {
        let date = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"))?;
        let (violations, word) = (self.verdict.counts.values().sum::<u64>(), outcome(&self.verdict));
        let row = |goal: &Goal| {
            let [goal, measured, met] = goal.cells();
            let Self { trial, scale, commit, .. } = self;
            format!("| {trial} | {goal} | {measured} | {met} | {violations} ({word}) | {scale} | {date} | {commit} |")
        };
        Ok(self.goals.iter().map(row).collect())
    }
}

/// Adds a trial to a page; earlier rows of it go.
pub fn add(page: &Path, outcome: &Outcome) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let added = with_rows(&text, outcome.trial, &outcome.rows()?);
    fs::write(page, added.with_context(|| format!("{} has no table of named trials", page.display()))?)?;
    Ok(())
}

fn with_rows(page: &str, trial: &str, rows: &[String]) -> Option<String> {
    let old = format!("| {trial} |");
    let (before, after) = page.split_once(HEAD)?;
    let kept = after.lines().skip(1).filter(|line| !line.starts_with(&old));
    let (table, rest): (Vec<&str>, Vec<&str>) = {
        let lines: Vec<&str> = kept.collect();
        let end = lines.iter().take_while(|line| line.starts_with('|')).count();
        (lines[..end].to_vec(), lines[end..].to_vec())
    };
    let table = table.into_iter().chain(rows.iter().map(String::as_str)).collect::<Vec<_>>().join("\n");
    Some(format!("{before}{HEAD}\n{table}\n{}\n", rest.join("\n")))
}

/// All named trials that there are.
pub fn list(trials: &[Trial]) -> String {
    trials.iter().map(|trial| format!("{:<22} {}\n", trial.name, trial.about)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_trial_replace_its_earlier_ones_and_leave_the_others() {
        let page = format!("# Results\n\n{HEAD}\n| a | old |\n| b | old |\n\n## Bugs\n");
        let page = with_rows(&page, "a", &["| a | new |".into(), "| a | two |".into()]).expect("a table");
        assert_eq!(page, format!("# Results\n\n{HEAD}\n| b | old |\n| a | new |\n| a | two |\n\n## Bugs\n"));
        assert_eq!(with_rows("# Results\n", "a", &[]), None);
    }
}

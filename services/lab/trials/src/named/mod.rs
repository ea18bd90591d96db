//! Attacks that are always the same, each with goals of its own beside the checker's verdict: how long something may last, how much
//! of it there may be.

mod cancel_storm;
mod disk_full;
mod facts;
mod goal;
mod kafka_away;
mod killed;
mod late_commits;
mod mail_away;
mod postgres_frozen;
mod runner;
mod stalled_snapshots;
mod start_orders;
mod stopping;
mod table;
mod timer_races;
mod topics_lost;
mod trial;
mod upgrade;
mod watchers;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use comanda_checker::Outcome as Verdict;

pub use goal::{Goal, Limit};
pub use trial::{Act, Plan, Terms, Trial};

use crate::run;

/// All of them, in the order in which they are made.
pub const TRIALS: &[Trial] = &[
    kafka_away::ALONE,
    postgres_frozen::FROZEN,
    postgres_frozen::BEYOND_POLL,
    killed::ALONE,
    killed::OF_TWO,
    mail_away::REFUSING,
    mail_away::SILENT,
    mail_away::PUTS_OFF,
    topics_lost::LOST,
    late_commits::LATE,
    cancel_storm::STORM,
    timer_races::RACES_WON,
    stopping::STOPPING,
    start_orders::ORDERS,
    kafka_away::TWO_OF_THREE,
    watchers::RETURN,
    watchers::STALL_ALL,
    stalled_snapshots::SNAPSHOTS,
    upgrade::UPGRADE,
    disk_full::FULL,
];

/// What may be chosen of these trials.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Names of trials, `all`, or `list` to be told which there are.
    #[arg(required = true)]
    pub names: Vec<String>,
    /// How they are made.
    #[command(flatten)]
    pub how: How,
}

/// How named trials are made.
#[derive(Args, Clone, Debug)]
pub struct How {
    /// Times and counts are multiplied by this: less than 1 is a shorter trial that proves less.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Of all that is random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The program to attack [default: `comanda` beside this program]
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// The older program that the trial `upgrade` starts with [default: the program to attack]
    #[arg(long)]
    pub old: Option<PathBuf>,
    /// Keep histories, logs and data, whatever comes out. They are kept anyway where something is wrong.
    #[arg(long)]
    pub keep: bool,
    /// Where reports go, in a folder for each trial.
    #[arg(long, default_value = "target/trials")]
    pub output: PathBuf,
    /// A page of results to which the trials are added.
    #[arg(long)]
    pub results: Option<PathBuf>,
}

/// Makes the trials, one after the other, and tells of each. Passed is where nothing was violated and every goal reached.
pub fn named(options: &Options) -> Result<Verdict> {
    if options.names == ["list"] {
        print!("{}", table::list(TRIALS));
        return Ok(Verdict::Pass);
    }
    let (trials, how) = (chosen(&options.names)?, &options.how);
    ensure!(how.scale > 0.0 && how.scale <= 100.0, "--scale must lie above 0");
    let terms = how.terms()?;
    let (mut outcomes, mut left_out) = (Vec::new(), 0);
    for trial in trials {
        if let Some(obstacle) = disk_full::obstacle().filter(|_| trial.name == disk_full::FULL.name) {
            println!("{} is left out: it {obstacle}", trial.name);
            left_out += 1;
            continue;
        }
        let outcome = runner::run(trial, how, &terms).with_context(|| trial.name)?;
        println!("{}\n{}", table::HEAD, outcome.rows()?.join("\n"));
        if let Some(page) = &how.results {
            table::add(page, &outcome)?;
        }
        outcomes.push(outcome);
    }
    let good = outcomes.iter().filter(|outcome| outcome.is_good()).count();
    let told = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
    println!("\n{good} of {} trials passed{told}", outcomes.len());
    Ok(match (good == outcomes.len(), left_out) {
        (false, _) => Verdict::Fail,
        (true, 0) => Verdict::Pass,
        (true, _) => Verdict::Inconclusive,
    })
}

impl How {
    fn terms(&self) -> Result<Terms> {
        let program = run::binary(self.binary.as_deref())?;
        let old_program = self.old.as_deref().map_or(Ok(program.clone()), |old| run::binary(Some(old)))?;
        Ok(Terms { scale: self.scale, seed: self.seed, program, old_program })
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Trial>> {
    if names.iter().any(|name| name == "all") {
        return Ok(TRIALS.iter().collect());
    }
    let find = |name: &String| {
        let found = TRIALS.iter().find(|trial| trial.name == name);
        found.with_context(|| format!("there is no trial {name:?}; there are:\n{}", table::list(TRIALS)))
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_has_a_name_of_its_own_and_faults_in_their_order() {
        for (n, trial) in TRIALS.iter().enumerate() {
            assert!(TRIALS[n + 1..].iter().all(|other| other.name != trial.name), "{}", trial.name);
            for scale in [0.05, 1.0] {
                let plan = (trial.plan)(&Terms { scale, seed: 1, ..Terms::default() });
                assert!(plan.faults.is_sorted_by_key(|step| step.start_ms), "{}", trial.name);
            }
        }
    }

    #[test]
    fn a_trial_that_is_not_there_is_answered_with_those_that_are() {
        let error = chosen(&["nonsense".into()]).expect_err("there is none");
        assert!(error.to_string().contains("kafka-away"), "{error}");
        assert_eq!(chosen(&["all".into()]).expect("all").len(), TRIALS.len());
    }
}

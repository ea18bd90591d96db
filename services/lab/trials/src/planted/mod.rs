//! Whether the trials find what is wrong: bugs are planted in the system, one at a time, and each must be caught by the invariant
//! that is there for it.

mod attack;
mod bug;
mod bugs;
mod outcome;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use comanda_checker::Verdict;

pub use bug::{Bug, Fault};
pub use bugs::BUGS;
pub use outcome::Outcome;

use crate::{attempt::Attempt, cluster::version};

/// What may be chosen of these trials.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only bugs whose names contain this.
    #[arg(long, default_value = "")]
    pub only: String,
    /// The same attacks with no bug active, two at a time: nothing may be found.
    #[arg(long)]
    pub control: bool,
    /// Decides what is random; the second try of a bug takes the next seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How often a bug that was not caught is attacked again.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub tries: u64,
    /// The program with the bugs [default: `comanda-planted` beside this program]
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Keep histories, logs and data.
    #[arg(long)]
    pub keep: bool,
    /// Where reports go, in a folder for each run.
    #[arg(long, default_value = "target/trials")]
    pub output: PathBuf,
}

/// Attacks the bugs one after the other and tells of each. True where each was caught; of a control, where nothing was found.
pub fn planted(options: &Options) -> Result<bool> {
    let bugs = bugs::named(&options.only);
    let names = || BUGS.map(|bug| bug.name).join("\n  ");
    ensure!(!bugs.is_empty(), "no bug's name contains {:?}; there are:\n  {}", options.only, names());
    let binary = binary(options)?;
    println!("{}\n\n{}", version(&binary), outcome::HEAD);
    let outcomes = if options.control {
        attack_two_at_a_time(&Bug::with_different_attacks(bugs), &binary, options)?
    } else {
        bugs.iter().map(|bug| attack_until_caught(bug, &binary, options)).collect::<Result<Vec<_>>>()?
    };
    println!("\n{}", outcome::summary(&outcomes, options.control));
    Ok(outcomes.iter().all(|outcome| outcome.is_good(options.control)))
}

/// The program, which must have every bug in it.
fn binary(options: &Options) -> Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("comanda-planted"));
    let path = options.binary.clone().or_else(beside).context("name the program with the bugs with --binary")?;
    let found = fs::read(&path);
    let bytes = found.with_context(|| format!("cannot read {}; scripts/trials planted builds it", path.display()))?;
    if let Some(bug) = BUGS.iter().find(|bug| !holds(&bytes, bug.name)) {
        bail!("{} does not know the bug {}; scripts/trials planted builds one that does", path.display(), bug.name);
    }
    Ok(path.canonicalize()?)
}

/// Whether a program holds a text.
pub fn holds(program: &[u8], text: &str) -> bool {
    program.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Each run of a control takes less than half of two processors.
fn attack_two_at_a_time(bugs: &[Bug], binary: &Path, options: &Options) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut outcomes = Vec::new();
        while let Some(bug) = bugs.get(next.fetch_add(1, Relaxed)) {
            outcomes.push(attack_until_caught(bug, binary, options)?);
        }
        anyhow::Ok(outcomes)
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        let outcomes = workers.map(|worker| worker.join().expect("a worker does not panic"));
        Ok(outcomes.into_iter().collect::<Result<Vec<_>>>()?.concat())
    })
}

/// A control is one run; else up to so many as were asked for.
fn attack_until_caught(bug: &Bug, binary: &Path, options: &Options) -> Result<Outcome> {
    let tries = if options.control { 1 } else { options.tries };
    let (began, mut outcome) = (Instant::now(), None);
    for seed in options.seed..options.seed + tries {
        let verdict = attack_once(bug, binary, options, seed)?;
        let tried = Outcome::new(bug, seed, began.elapsed(), &verdict);
        let caught = tried.is_caught();
        outcome = Some(tried);
        if caught {
            break;
        }
    }
    let outcome = outcome.context("a bug is attacked once at least")?;
    println!("{}", outcome.row());
    Ok(outcome)
}

fn attack_once(bug: &Bug, binary: &Path, options: &Options, seed: u64) -> Result<Verdict> {
    let replay = format!(
        "scripts/trials planted --only {} --seed {seed} --tries 1{}",
        bug.name,
        if options.control { " --control" } else { "" }
    );
    let scenario = attack::scenario(bug, !options.control, binary, seed, replay);
    eprintln!("{}", bug.name);
    let output = options.output.join(format!("planted-{}-{seed}", bug.name));
    let attempt = Attempt::make(&scenario, output, async |_| Ok(()))?;
    let verdict = attempt.report.verdict.clone();
    attempt.end(options.keep)?;
    Ok(verdict)
}

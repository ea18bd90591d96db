//! What a run came to: a table, a picture, and a row of the totals.

mod plot;
mod results;
mod table;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::BufReader,
    path::Path,
};

use anyhow::{Context, Result};
use comanda_checker::{
    Invariant, Verdict, explain,
    history::{Line, Run, What},
    judge, read,
};

pub use results::{add, has_passed};
pub use table::outcome;

use crate::run::{DUMP, HISTORY};

/// A judged run.
#[derive(Debug)]
pub struct Report {
    /// Which run it was.
    pub run: Run,
    /// What the judge found.
    pub verdict: Verdict,
    /// When faults lasted, in seconds of the run: name, from, to.
    pub faults: Vec<(String, f64, f64)>,
}

impl Report {
    /// Judges what lies in a folder.
    pub fn of(folder: &Path) -> Result<Self> {
        let lines = lines(folder)?;
        let run = lines.iter().find_map(|line| match &line.what {
            What::Run(run) => Some(run.clone()),
            _ => None,
        });
        let run = run.with_context(|| format!("{} is not the history of a run", folder.join(HISTORY).display()))?;
        let faults = plot::faults(&lines);
        Ok(Self { run, verdict: judge(lines), faults })
    }

    /// Writes table, picture, verdict and violations into a folder, and returns the table with the first violation of each invariant.
    pub fn write(&self, folder: &Path, replay: &str) -> Result<String> {
        let violations: Vec<String> = self.verdict.violations.iter().map(explain::explain).collect();
        let table = table::table(&self.run, &self.verdict, replay);
        fs::write(folder.join("report.txt"), &table)?;
        fs::write(folder.join("violations.txt"), violations.join("\n"))?;
        fs::write(folder.join("goodput.svg"), plot::svg(&self.verdict.figures.goodput, &self.faults))?;
        serde_json::to_writer_pretty(File::create(folder.join("verdict.json"))?, &self.verdict)?;
        let told = self.verdict.violations.iter().map(|violation| violation.invariant).zip(&violations);
        let firsts: BTreeMap<Invariant, &String> = told.rev().collect();
        Ok(firsts.into_values().fold(table, |shown, violation| format!("{shown}\n{violation}")))
    }
}

/// All that a folder tells of a run, in any order.
pub fn lines(folder: &Path) -> Result<Vec<Line>> {
    let mut lines = read_lines(&folder.join(HISTORY))?;
    if folder.join(DUMP).exists() {
        lines.extend(read_lines(&folder.join(DUMP))?);
    }
    Ok(lines)
}

fn read_lines(path: &Path) -> Result<Vec<Line>> {
    let file = File::open(path)
        .with_context(|| format!("cannot read {}; name the folder of a run that was kept", path.display()))?;
    read::lines(BufReader::new(file)).collect::<Result<_, _>>().with_context(|| path.display().to_string())
}

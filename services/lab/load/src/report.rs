//! What a measurement found, as it is stored: one JSON file for all runs that were made in one go. Reports of older and newer programs
//! are read as well: what they lack is empty, and what they have besides is left out.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Every run of one go, and where it was made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What was measured.
    pub title: String,
    /// The machine and the versions of everything, as (name, value).
    pub environment: Vec<(String, String)>,
    /// One workload once.
    pub runs: Vec<Run>,
}

/// One workload, run once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Such as `lives`.
    pub workload: String,
    /// What tells runs of one workload apart, such as `zero dwell`.
    pub variant: String,
    /// Counts the repetitions of one variant from 1.
    pub repeat: u32,
    /// When it began (RFC 3339).
    pub start_time: String,
    /// What came out, in the order in which people should read it.
    pub figures: Vec<Figure>,
    /// How long things took.
    pub latencies: Vec<Latency>,
    /// What was sampled while it ran.
    pub series: Vec<Series>,
    /// What each process used.
    pub costs: Vec<Cost>,
    /// What had to be true. A run in which anything was not is void.
    pub checks: Vec<Check>,
}

/// Which direction is an improvement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither: a setting, or a description.
    #[default]
    Neither,
}

/// One number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Figure {
    pub name: String,
    /// Such as `1/s`, `ms`, `B`, `x` for a ratio, or empty for a count.
    pub unit: String,
    pub value: f64,
    pub better: Better,
}

/// A distribution of durations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// What lasted.
    pub name: String,
    /// How often.
    pub count: u64,
    /// (percentile, milliseconds), rising; the last is the 100th.
    pub percentiles: Vec<(f64, f64)>,
}

/// Values over time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Series {
    pub name: String,
    pub unit: String,
    /// (seconds since the beginning of the run, value).
    pub points: Vec<(f64, f64)>,
}

/// What a process, or all of one program, used during a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Such as `ordering`, `postgres`, `kafka`, `generator`.
    pub process: String,
    /// User and system time.
    pub cpu_seconds: f64,
    /// Resident at the end.
    pub rss_bytes: u64,
    /// Voluntary and forced.
    pub context_switches: u64,
}

/// Something that had to be true.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Check {
    pub name: String,
    pub passed: bool,
    /// What was found.
    pub detail: String,
}

impl Run {
    /// Whether its figures count: everything that was checked was true.
    pub fn is_valid(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// Adds a number. One that is none, such as a ratio to nothing, is left out: JSON has no way to write it.
    pub fn figure(&mut self, name: &str, unit: &str, value: f64, better: Better) {
        if value.is_finite() {
            self.figures.push(Figure { name: name.into(), unit: unit.into(), value, better });
        }
    }

    /// Adds a distribution, and its median and 99th percentile as numbers.
    pub fn timing(&mut self, latency: Latency) {
        for percentile in [50.0, 99.0] {
            let value = latency.at(percentile).unwrap_or(f64::NAN);
            self.figure(&format!("{} p{percentile}", latency.name), "ms", value, Better::Lower);
        }
        self.latencies.push(latency);
    }

    /// Adds something that had to be true, and what was found.
    pub fn check(&mut self, name: &str, passed: bool, detail: impl Into<String>) {
        self.checks.push(Check { name: name.into(), passed, detail: detail.into() });
    }

    /// A number by its name.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

impl Latency {
    /// Milliseconds at a percentile that was stored.
    pub fn at(&self, percentile: f64) -> Option<f64> {
        self.percentiles.iter().find(|(at, _)| (at - percentile).abs() < 1e-9).map(|(_, milliseconds)| *milliseconds)
    }
}

impl Report {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report of `comanda load`", path.display()))
    }

    /// Writes a file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Runs of the same workload and variant, in the order of their first.
    pub fn groups(&self) -> Vec<(&str, &str, Vec<&Run>)> {
        let mut groups: Vec<(&str, &str, Vec<&Run>)> = Vec::new();
        let mut places = BTreeMap::new();
        for run in &self.runs {
            let key = (run.workload.as_str(), run.variant.as_str());
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((key.0, key.1, Vec::new()));
                groups.len() - 1
            });
            groups[place].2.push(run);
        }
        groups
    }
}

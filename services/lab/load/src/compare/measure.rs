//! What of a run can be better or worse.

use crate::report::{Better, Run};

/// The percentiles of latencies that are compared.
const PERCENTILES: [f64; 2] = [50.0, 99.0];

/// Something that is measured in every run of a variant.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    source: Source,
    pub unit: String,
    pub better: Better,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Figure(String),
    Latency(String, f64),
}

/// All of a run, in its order: figures, then those latencies that no figure tells.
pub(super) fn measures(run: &Run) -> Vec<Measure> {
    let figures = run.figures.iter().filter(|figure| figure.better != Better::Neither).map(|figure| Measure {
        source: Source::Figure(figure.name.clone()),
        unit: figure.unit.clone(),
        better: figure.better,
    });
    let latencies = run.latencies.iter().flat_map(|latency| PERCENTILES.map(|at| percentile(&latency.name, at)));
    figures.chain(latencies.filter(|measure| run.value(&measure.name()).is_none())).collect()
}

/// All of some runs, in the order in which they first appear.
pub(super) fn all<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<Measure> {
    let mut all: Vec<Measure> = Vec::new();
    for measure in runs.flat_map(measures) {
        if !all.iter().any(|known| known.source == measure.source) {
            all.push(measure);
        }
    }
    all
}

fn percentile(latency: &str, at: f64) -> Measure {
    Measure { source: Source::Latency(latency.into(), at), unit: "ms".into(), better: Better::Lower }
}

impl Measure {
    /// What it is called.
    pub fn name(&self) -> String {
        match &self.source {
            Source::Figure(name) => name.clone(),
            Source::Latency(name, percentile) => format!("{name} p{percentile}"),
        }
    }

    /// What it was in a run.
    pub fn value(&self, run: &Run) -> Option<f64> {
        match &self.source {
            Source::Figure(name) => run.value(name),
            Source::Latency(name, percentile) => {
                run.latencies.iter().find(|latency| latency.name == *name)?.at(*percentile)
            }
        }
    }
}

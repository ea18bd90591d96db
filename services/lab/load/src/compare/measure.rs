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

#[derive(Clone, Debug)]
enum Source {
    Figure(String),
    Latency(String, f64),
}

/// All of a run, in its order: figures, then latencies.
pub(super) fn measures(run: &Run) -> Vec<Measure> {
    let figures = run.figures.iter().filter(|figure| figure.better != Better::Neither).map(|figure| Measure {
        source: Source::Figure(figure.name.clone()),
        unit: figure.unit.clone(),
        better: figure.better,
    });
    let latencies = run.latencies.iter().flat_map(|latency| PERCENTILES.map(|at| percentile(&latency.name, at)));
    figures.chain(latencies).collect()
}

fn percentile(latency: &str, at: f64) -> Measure {
    Measure { source: Source::Latency(latency.into(), at), unit: "ms".into(), better: Better::Lower }
}

impl Measure {
    /// What it is called, with its unit.
    pub fn label(&self) -> String {
        let name = match &self.source {
            Source::Figure(name) => name.clone(),
            Source::Latency(name, percentile) => format!("{name} p{percentile}"),
        };
        if self.unit.is_empty() { name } else { format!("{name} [{}]", self.unit) }
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

//! C14: every report is what the history adds up to.

mod expected;
mod sums;

use std::collections::{BTreeMap, BTreeSet};

use self::expected::{Key, expected};
use crate::{case::Case, findings::Findings};

/// Means are rounded, and quantiles are read from histograms of milliseconds with two significant digits.
const ROUNDING_US: i64 = 2_000;
const QUANTILE_PERCENT: i64 = 1;

/// Compares every row that analytics reported, both ways. Where it was not asked there is nothing to compare.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    if case.reports.is_empty() || !case.drained() {
        return;
    }
    let expected = expected(case);
    let mut reported: BTreeMap<Key<'_>, &BTreeMap<String, i64>> = BTreeMap::new();
    for row in &case.reports {
        let key = (row.tenant.as_str(), row.report, row.key.iter().map(String::as_str).collect());
        if reported.insert(key, &row.values).is_some() {
            found.system(None, format!("{:?} has two rows of {:?}", row.report, row.key));
        }
    }
    for key in expected.keys().chain(reported.keys()).collect::<BTreeSet<_>>() {
        let problem = match (expected.get(key), reported.get(key)) {
            (Some(expected), Some(reported)) => difference(expected, reported),
            (Some(expected), None) => Some(format!("is missing, and should be {expected:?}")),
            (None, Some(reported)) => Some(format!("should not be there: {reported:?}")),
            (None, None) => None,
        };
        if let Some(problem) = problem {
            let (tenant, report, key) = key;
            found.system(None, format!("{report:?} of {tenant:?}, row {key:?} {problem}"));
        }
    }
}

fn difference(expected: &BTreeMap<&str, i64>, reported: &BTreeMap<String, i64>) -> Option<String> {
    expected.iter().find_map(|(name, expected)| {
        let reported = reported.get(*name).copied().unwrap_or_default();
        let off = (reported - expected).abs();
        (off > tolerance(name, *expected)).then(|| format!("says {name} = {reported} instead of {expected}"))
    })
}

fn tolerance(name: &str, expected: i64) -> i64 {
    match name {
        _ if !name.ends_with("_us") => 0,
        _ if name.starts_with('p') => expected * QUANTILE_PERCENT / 100 + ROUNDING_US,
        _ => ROUNDING_US,
    }
}

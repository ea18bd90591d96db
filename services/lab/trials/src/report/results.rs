//! The totals over all runs: a page to which each run adds a row.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use comanda_checker::{Verdict, history::Run};
use time::{OffsetDateTime, macros::format_description};

use super::table::outcome;

/// The line that the totals are on.
const TOTALS: &str = "**Totals:**";
/// The end of the table's head; rows follow.
const HEAD: &str = "|---|---|---|---|---|---|---|---|---|";

/// Adds a run to a page.
pub fn add(page: &Path, run: &Run, verdict: &Verdict) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let now = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"))?;
    let added = with_row(&text, &row(&now, run, verdict));
    let added = added.with_context(|| format!("{} has no table of runs", page.display()))?;
    Ok(fs::write(page, added)?)
}

/// Whether a page has a run of the same system as passed.
pub fn has_passed(page: &Path, run: &Run) -> Result<bool> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    Ok(has_passed_row(&text, &run.commit, &run.profile, run.seed))
}

fn has_passed_row(page: &str, system: &str, profile: &str, seed: u64) -> bool {
    let rows = page.lines().skip_while(|line| *line != HEAD).skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let seed = seed.to_string();
    cells.into_iter().any(|cells| {
        let [_, _, of, in_profile, by_seed, .., verdict, _] = cells[..] else { return false };
        (of, in_profile, by_seed, verdict) == (system, profile, &*seed, "pass")
    })
}

/// Date, what was attacked, profile, seed, minutes, orders, faults, violations, verdict.
fn row(date: &str, run: &Run, verdict: &Verdict) -> String {
    let figures = &verdict.figures;
    let (minutes, faults) = (figures.run_ms / 60_000, figures.faults.values().sum::<u64>());
    let violations = verdict.counts.values().sum::<u64>();
    format!(
        "| {date} | {} | {} | {} | {minutes} | {} | {faults} | {violations} | {} |",
        run.commit,
        run.profile,
        run.seed,
        figures.accepted,
        outcome(verdict)
    )
}

/// The page with one more row, and the totals over all rows.
fn with_row(page: &str, row: &str) -> Option<String> {
    let mut lines: Vec<&str> = page.lines().collect();
    let head = lines.iter().position(|line| *line == HEAD)?;
    let end = lines[head + 1..].iter().take_while(|line| line.starts_with('|')).count() + head + 1;
    lines.insert(end, row);
    let rows: Vec<Vec<&str>> =
        lines[head + 1..=end].iter().map(|row| row.split('|').map(str::trim).collect()).collect();
    let sum = |column: usize| -> u64 { rows.iter().filter_map(|row| row.get(column)?.parse::<u64>().ok()).sum() };
    let (minutes, orders, faults, violations) = (sum(5), sum(6), sum(7), sum(8));
    let totals = format!(
        "{TOTALS} {} runs, {minutes} minutes, {orders} accepted orders, {faults} faults, {violations} violations.",
        rows.len()
    );
    let place = lines.iter().position(|line| line.starts_with(TOTALS))?;
    lines[place] = &totals;
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# Results

**Totals:** none yet.

| date | system | profile | seed | minutes | orders | faults | violations | verdict |
|---|---|---|---|---|---|---|---|---|
| 2026-11-22 | a | quick | 1 | 3 | 5000 | 20 | 0 | pass |

## Bugs
";

    #[test]
    fn a_run_is_added_to_the_rows_and_to_the_totals_and_the_rest_stays() {
        let page = with_row(PAGE, "| 2026-11-23 | b | random | 2 | 45 | 100000 | 200 | 1 | FAIL |").expect("a table");
        assert!(
            page.contains("**Totals:** 2 runs, 48 minutes, 105000 accepted orders, 220 faults, 1 violations.\n"),
            "{page}"
        );
        assert!(page.contains("| pass |\n| 2026-11-23 | b |"), "{page}");
        assert!(page.ends_with("\n\n## Bugs\n"), "{page}");
    }

    #[test]
    fn a_passed_run_is_known_by_its_system_profile_and_seed_and_a_failed_one_is_not() {
        assert!(has_passed_row(PAGE, "a", "quick", 1));
        assert!(!has_passed_row(PAGE, "b", "quick", 1));
        assert!(!has_passed_row(PAGE, "a", "random", 1) && !has_passed_row(PAGE, "a", "quick", 2));
        assert!(!has_passed_row(&PAGE.replace("| pass |", "| FAIL |"), "a", "quick", 1));
    }

    #[test]
    fn a_page_without_a_table_is_left_alone() {
        assert_eq!(with_row("# Results\n", "| |"), None);
    }
}

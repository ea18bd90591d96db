//! C14: reports are what the history adds up to.

use comanda_checker::{Invariant::*, history::*};

use crate::{
    alter::{verdict, violated},
    rides::rides,
};

/// The invariants that are violated after a change to each row of the reports in turn.
fn after_each(change: impl Fn(&mut Vec<Line>, usize) -> bool) {
    let places: Vec<usize> = rides()
        .iter()
        .enumerate()
        .filter(|(_, line)| matches!(line.what, What::ReportRow(_)))
        .map(|(at, _)| at)
        .collect();
    assert!(places.len() > 20);
    let mut changed = 0;
    for at in places {
        let mut lines = rides();
        let row = lines[at].clone();
        if change(&mut lines, at) {
            changed += 1;
            assert_eq!(violated(&verdict(lines)), [C14Analytics], "{row:?}");
        }
    }
    assert!(changed > 3, "{changed}");
}

fn row(lines: &mut [Line], at: usize) -> &mut ReportRow {
    let What::ReportRow(row) = &mut lines[at].what else { panic!("chosen for it") };
    row
}

#[test]
fn a_row_that_is_missing_or_that_comes_twice_is_noticed() {
    after_each(|lines, at| {
        lines.remove(at);
        true
    });
    after_each(|lines, at| {
        let again = lines[at].clone();
        lines.insert(at, again);
        true
    });
}

#[test]
fn a_number_that_is_one_off_is_noticed_wherever_it_stands() {
    after_each(|lines, at| {
        let values = &mut row(lines, at).values;
        let count = values.iter_mut().find(|(name, _)| name.ends_with("_count") || name.starts_with("total_"));
        count.is_some_and(|(_, value)| {
            *value += 1;
            true
        })
    });
}

#[test]
fn a_duration_may_be_rounded_and_no_more() {
    let off_by = |by_us: i64| {
        let mut lines = rides();
        for line in &mut lines {
            if let What::ReportRow(row) = &mut line.what {
                row.values.iter_mut().filter(|(name, _)| name.ends_with("_us")).for_each(|(_, value)| *value += by_us);
            }
        }
        violated(&verdict(lines))
    };
    assert_eq!((off_by(1_000), off_by(50_000)), (vec![], vec![C14Analytics]));
}

#[test]
fn a_row_of_what_never_was_is_noticed() {
    after_each(|lines, at| {
        row(lines, at).key[0].push('?');
        true
    });
    after_each(|lines, at| {
        row(lines, at).tenant = "acme".into();
        true
    });
}

#[test]
fn a_history_without_reports_is_not_judged_by_them() {
    let lines = rides().into_iter().filter(|line| !matches!(line.what, What::ReportRow(_))).collect();
    assert_eq!(violated(&verdict(lines)), []);
}

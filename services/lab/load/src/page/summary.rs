//! The table that comes first: the main figures of every variant, below each other.

use super::{
    spread::Spread,
    table::{Table, figure, figure_head, head, text},
};
use crate::{
    plot::distinct,
    report::{Better, Figure, Run},
};

/// How many figures fit beside each other. They come in the order in which people should read them.
const MAIN_FIGURES: usize = 4;

/// Runs of one workload and variant.
pub(super) type Group<'a> = (&'a str, &'a str, Vec<&'a Run>);

/// A row for each variant, under heads for each workload.
pub(super) fn summary(groups: &[Group]) -> String {
    let mut table = Table::default();
    for workload in distinct(groups.iter().map(|(workload, _, _)| *workload)) {
        let variants: Vec<(usize, &Group)> =
            groups.iter().enumerate().filter(|(_, group)| group.0 == workload).collect();
        let figures = main_figures(&variants);
        table.row(heads(workload, &figures));
        for (index, group) in variants {
            table.row(row(index, group, &figures));
        }
    }
    table.html()
}

/// (name, unit) of those that can be better or worse.
fn main_figures<'a>(variants: &[(usize, &'a Group)]) -> Vec<(&'a str, &'a str)> {
    let figures = variants.iter().flat_map(|(_, (_, _, runs))| runs).flat_map(|run| &run.figures);
    let main = figures.filter(|figure| figure.better != Better::Neither).map(name_and_unit);
    distinct(main).into_iter().take(MAIN_FIGURES).collect()
}

fn name_and_unit(figure: &Figure) -> (&str, &str) {
    (&figure.name, &figure.unit)
}

fn heads(workload: &str, figures: &[(&str, &str)]) -> Vec<String> {
    let figures = figures.iter().map(|(name, unit)| figure_head(&with_unit(name, unit)));
    [head(workload), figure_head("valid runs")].into_iter().chain(figures).collect()
}

fn row(index: usize, (workload, variant, runs): &Group, figures: &[(&str, &str)]) -> Vec<String> {
    let spreads = figures.iter().map(|(name, _)| {
        let spread = Spread::of(runs, |run| run.value(name));
        figure(&spread.map_or_else(|| "–".into(), |spread| spread.html()))
    });
    [link(index, if variant.is_empty() { workload } else { variant }), valid(runs)].into_iter().chain(spreads).collect()
}

fn link(index: usize, name: &str) -> String {
    // Escaped as a cell's text first, so that only the link itself is HTML.
    text(name).replacen("<td>", &format!("<td><a href=\"#s{index}\">"), 1).replacen("</td>", "</a></td>", 1)
}

fn valid(runs: &[&Run]) -> String {
    let valid = runs.iter().filter(|run| run.is_valid()).count();
    let text = format!("{valid} of {}", runs.len());
    figure(&if valid < runs.len() { format!("<span class=\"failed\">{text}</span>") } else { text })
}

/// Such as `rate (1/s)`.
pub(super) fn with_unit(name: &str, unit: &str) -> String {
    if unit.is_empty() { name.into() } else { format!("{name} ({unit})") }
}

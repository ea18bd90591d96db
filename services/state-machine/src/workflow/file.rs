//! What a workflow file looks like.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use comanda_proto::v1::{Phase, Workflow, WorkflowStatus};
use serde::Deserialize;
use toml::Spanned;

use super::{
    check::{Draft, check},
    dispatch::DispatchTable,
    edges::{EdgeTable, expand},
    problems::Problems,
};

/// The largest file. Definitions travel in answers of at most 1 MiB.
const MOST_BYTES: usize = 256 * 1024;
/// The words for a phase.
const PHASES: [&str; 5] = ["active", "succeeded", "cancelled", "rejected", "failed"];

/// The tables of a file. What is missing or unknown is found by us, so that everything is told at once.
#[derive(Deserialize)]
struct Tables {
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: Vec<Spanned<StatusTable>>,
    #[serde(default)]
    edge: Vec<Spanned<EdgeTable>>,
    dispatch: Option<Spanned<DispatchTable>>,
}

#[derive(Deserialize)]
struct StatusTable {
    #[serde(default)]
    name: String,
    #[serde(default)]
    phase: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    mail: String,
}

/// Reads workflow files, no two of which may have the same name. An error tells everything that is wrong with all of them.
pub fn read_files(paths: &[PathBuf]) -> Result<Vec<Workflow>> {
    let (mut workflows, mut errors) = (Vec::new(), Vec::new());
    let mut paths_by_name = BTreeMap::<_, Vec<_>>::new();
    for path in paths {
        match read_file(path) {
            Ok(workflow) => {
                paths_by_name.entry(workflow.name.clone()).or_default().push(path.display().to_string());
                workflows.push(workflow);
            }
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    let doubled = paths_by_name.into_iter().filter(|(_, paths)| paths.len() > 1);
    errors.extend(
        doubled.map(|(name, paths)| format!("workflow {name:?} is in {} files: {}", paths.len(), paths.join(", "))),
    );
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(workflows)
}

fn read_file(path: &Path) -> Result<Workflow> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mut text = String::new();
    // One byte more than is allowed shows that there is more.
    file.take(MOST_BYTES as u64 + 1).read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
    parse(&text).with_context(|| format!("in {shown}"))
}

/// Reads a workflow file. An error tells everything that is wrong, and where.
pub fn parse(text: &str) -> Result<Workflow> {
    ensure!(text.len() <= MOST_BYTES, "a workflow file has at most {} KiB", MOST_BYTES / 1024);
    let mut unknown = Vec::new();
    let parser = toml::Deserializer::parse(text)?;
    let tables: Tables = serde_ignored::deserialize(parser, |path| unknown.push(path.to_string()))?;
    let (name, mut problems, lines) = (tables.name.clone(), Problems::default(), Lines(text));
    let draft = draft(tables, &lines, &unknown, &mut problems);
    check(&draft, &mut problems);
    if problems.count() > 0 {
        bail!("workflow {name:?} cannot be used:\n{problems}");
    }
    Ok(draft.workflow)
}

/// Finds the line of a place in a text.
struct Lines<'t>(&'t str);

impl Lines<'_> {
    fn of<T>(&self, table: &Spanned<T>) -> usize {
        self.0.bytes().take(table.span().start).filter(|byte| *byte == b'\n').count() + 1
    }
}

fn draft(tables: Tables, lines: &Lines<'_>, unknown: &[String], problems: &mut Problems) -> Draft {
    let status_lines: Vec<_> = tables.status.iter().map(|table| lines.of(table)).collect();
    let table_lines: Vec<_> = tables.edge.iter().map(|table| lines.of(table)).collect();
    let dispatch_line = tables.dispatch.as_ref().map_or(1, |table| lines.of(table));
    for path in unknown {
        note_unknown(path, &status_lines, &table_lines, dispatch_line, problems);
    }
    let statuses = tables.status.into_iter().zip(&status_lines);
    let statuses = statuses.map(|(table, line)| status(table.into_inner(), *line, problems)).collect();
    let (mut edges, mut edge_lines) = (Vec::new(), Vec::new());
    for (table, line) in tables.edge.into_iter().zip(table_lines) {
        let expanded = expand(&table.into_inner(), line, problems);
        edge_lines.extend(expanded.iter().map(|_| line));
        edges.extend(expanded);
    }
    let dispatch = tables.dispatch.map(|table| table.into_inner().into());
    let workflow = Workflow { name: tables.name, revision: 0, statuses, edges, dispatch };
    Draft { workflow, status_lines, edge_lines, dispatch_line }
}

/// A key that nothing reads, by its path: `colour`, `status.2.colour`, `edge.0.delay`.
fn note_unknown(
    path: &str,
    status_lines: &[usize],
    edge_lines: &[usize],
    dispatch_line: usize,
    problems: &mut Problems,
) {
    // Between an entry and its keys the path has what serde calls a value with a span, and "?" where a table may be left out.
    let parts: Vec<_> = path.split('.').filter(|part| !part.starts_with('$') && *part != "?").collect();
    let line = |lines: &[usize], index: &str| index.parse().ok().and_then(|index: usize| lines.get(index).copied());
    let (line, key) = match parts[..] {
        ["status", index, ref key @ ..] => (line(status_lines, index), key.join(".")),
        ["edge", index, ref key @ ..] => (line(edge_lines, index), key.join(".")),
        ["dispatch", ref key @ ..] => (Some(dispatch_line), key.join(".")),
        ref key => (None, key.join(".")),
    };
    problems.add(line.unwrap_or(1), format!("{key:?}: there is no such key here"));
}

fn status(table: StatusTable, line: usize, problems: &mut Problems) -> WorkflowStatus {
    let StatusTable { name, phase, labels, mail: mail_template } = table;
    let known = problems.one_of(&phase, &PHASES, "phase", line);
    let phase = if known { Phase::from_str_name(&format!("PHASE_{}", phase.to_uppercase())) } else { None };
    WorkflowStatus { name, phase: phase.unwrap_or_default().into(), labels, mail_template }
}

//! A report as a table, with a small plot beside it, or as CSV.

use prost_types::Timestamp;

use super::{
    super::print::{Paint, columns, time},
    cell::{Cell, quoted},
    plot::{bar, sparkline},
};

/// The name of the column of times.
const TIME: &str = "TIME";

/// What a report of this kind looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The names of the columns after the time.
    pub names: &'static [&'static str],
    /// How many of them name what a row is about.
    pub keys: usize,
    /// Which of them is drawn.
    pub drawn: usize,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Line {
    /// The beginning of its bucket.
    pub time: Option<Timestamp>,
    /// One for each name.
    pub cells: Vec<Cell>,
}

/// Rows, and how they look.
#[derive(Debug)]
pub struct Table {
    /// How they look.
    pub shape: Shape,
    /// The rows.
    pub lines: Vec<Line>,
}

impl Table {
    /// As CSV (RFC 4180), with a heading.
    pub fn csv(&self) -> String {
        let names = std::iter::once(TIME).chain(self.shape.names.iter().copied());
        let heading = names.map(|name| quoted(&name.to_lowercase().replace(' ', "_")).into_owned()).collect::<Vec<_>>();
        let rows = self.lines.iter().map(|line| {
            let cells = line.cells.iter().map(|cell| cell.csv().into_owned());
            std::iter::once(time(line.time)).chain(cells).collect::<Vec<_>>().join(",")
        });
        std::iter::once(heading.join(",")).chain(rows).collect::<Vec<_>>().join("\n")
    }

    /// As one table of buckets, each row with a bar.
    pub fn in_buckets(&self, paint: Paint) -> String {
        let height = |line: &Line| line.cells[self.shape.drawn].height();
        let most = self.lines.iter().map(height).fold(0.0, f64::max);
        let plots: Vec<_> = self.lines.iter().map(|line| bar(height(line), most)).collect();
        self.text(paint, true, &plots)
    }

    /// As a table of sums; beside each its course over the buckets that begin at `starts`, from another table.
    pub fn with_course(&self, paint: Paint, course: &Self, starts: &[i64]) -> String {
        let plots: Vec<_> = self.lines.iter().map(|line| self.sparkline(line, course, starts)).collect();
        self.text(paint, false, &plots)
    }

    fn sparkline(&self, line: &Line, course: &Self, starts: &[i64]) -> String {
        let keys = &line.cells[..self.shape.keys];
        let mut values = vec![0.0; starts.len()];
        for other in course.lines.iter().filter(|other| other.cells[..self.shape.keys] == *keys) {
            let begins = other.time.unwrap_or_default().seconds;
            if let Ok(index) = starts.binary_search(&begins) {
                values[index] = other.cells[self.shape.drawn].height();
            }
        }
        sparkline(&values)
    }

    fn text(&self, paint: Paint, has_times: bool, plots: &[String]) -> String {
        let mut grid = vec![self.shape.names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()];
        grid.extend(self.lines.iter().map(|line| line.cells.iter().map(Cell::human).collect()));
        let widths: Vec<_> = (0..self.shape.names.len()).map(|column| width(&grid, column)).collect();
        let times = std::iter::once(TIME.to_owned()).chain(self.lines.iter().map(|line| time(line.time)));
        let plots = std::iter::once("").chain(plots.iter().map(String::as_str));
        let rows = grid.iter().zip(times).zip(plots).enumerate().map(|(index, ((cells, time), plot))| {
            let mut row = self.row(cells, &widths);
            if has_times {
                row = format!("{}  {row}", columns(&[(&time, 20)]));
            }
            let row = format!("{row}  {plot}").trim_end().to_owned();
            if index == 0 { paint.dim(&row) } else { row }
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    /// Names stand on the left, numbers on the right.
    fn row(&self, cells: &[String], widths: &[usize]) -> String {
        let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            let is_text = self.lines.first().is_none_or(|line| line.cells[column].is_text());
            let escaped = columns(&[(cell, 0)]);
            if is_text { format!("{escaped:width$}") } else { format!("{escaped:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ")
    }
}

fn width(grid: &[Vec<String>], column: usize) -> usize {
    grid.iter().map(|row| columns(&[(&row[column], 0)]).chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[(i64, &str, i64)]) -> Table {
        let line = |(hour, status, count): &(i64, &str, i64)| Line {
            time: Some(Timestamp { seconds: hour * 3600, nanos: 0 }),
            cells: vec![Cell::Text((*status).into()), Cell::Count(*count)],
        };
        let shape = Shape { names: &["STATUS", "ENTERED"], keys: 1, drawn: 1 };
        Table { shape, lines: lines.iter().map(line).collect() }
    }

    #[test]
    fn sums_stand_beside_their_course() {
        let sums = table(&[(0, "received", 12), (0, "dis\u{202e}patched", 3)]);
        let course = table(&[(0, "received", 4), (2, "received", 8), (1, "dis\u{202e}patched", 3)]);
        assert_eq!(
            sums.with_course(Paint::NONE, &course, &[0, 3600, 7200]),
            "STATUS              ENTERED\nreceived                 12  ▄·█\ndis\\u{202e}patched        3  ·█·"
        );
    }

    #[test]
    fn buckets_have_times_and_bars() {
        let text = table(&[(0, "received", 12), (1, "received", 6)]).in_buckets(Paint::NONE);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "TIME                  STATUS    ENTERED");
        assert_eq!(lines[2], format!("1970-01-01T01:00:00Z  received        6  {}", "█".repeat(12)));
    }

    #[test]
    fn csv_has_a_heading_and_names_that_no_program_splits() {
        let text = table(&[(0, "a,b", 1)]).csv();
        assert_eq!(text, "time,status,entered\n1970-01-01T00:00:00Z,\"a,b\",1");
        assert_eq!(table(&[]).csv(), "time,status,entered");
    }
}

//! What is wrong with a workflow file, and where.

use std::fmt;

/// Everything that is wrong with one file, each with its line.
#[derive(Debug, Default)]
pub struct Problems(Vec<(usize, String)>);

impl Problems {
    /// Notes what is wrong in a line, counted from 1.
    pub fn add(&mut self, line: usize, what: impl Into<String>) {
        self.0.push((line, what.into()));
    }

    /// Notes it unless `holds`.
    pub fn require(&mut self, holds: bool, line: usize, what: impl FnOnce() -> String) {
        if !holds {
            self.add(line, what());
        }
    }

    /// Whether a word is one of those that a key takes; notes it unless it is.
    pub fn one_of(&mut self, word: &str, words: &[&str], key: &str, line: usize) -> bool {
        let known = words.contains(&word);
        self.require(known, line, || format!("{key} {word:?}: must be one of {}", words.join(", ")));
        known
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// In the order of the file.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|(line, _)| *line);
        let lines: Vec<_> = sorted.into_iter().map(|(line, what)| format!("line {line}: {what}")).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

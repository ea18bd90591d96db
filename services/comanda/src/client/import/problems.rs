//! What is wrong with a file.

use std::fmt;

/// More problems than these are only counted.
const MAX_PROBLEMS_SHOWN: usize = 20;

/// What is wrong with a file: everything is counted, and the first problems are kept.
#[derive(Debug, Default)]
pub struct Problems {
    count: usize,
    first: Vec<String>,
}

impl Problems {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Notes a problem.
    pub fn add(&mut self, problem: String) {
        self.count += 1;
        if self.first.len() < MAX_PROBLEMS_SHOWN {
            self.first.push(problem);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing was sent; problems in the file: {}", self.count)?;
        self.first.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl From<String> for Problems {
    fn from(problem: String) -> Self {
        Self { count: 1, first: vec![problem] }
    }
}

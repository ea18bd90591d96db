//! Faults as spans of time.

/// A fault.
#[derive(Clone, Debug)]
pub struct Fault<'a> {
    /// What it was.
    pub name: &'a str,
    /// What it hit.
    pub target: &'a str,
    /// When it began.
    pub from_us: u64,
    /// When it was healed; the end of the run where it never was.
    pub to_us: u64,
    /// Whether it was made and healed as planned. If not, it may still have had effects.
    pub made: bool,
}

impl Fault<'_> {
    /// Whether its name or target holds one of these words.
    pub fn tells_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.name.contains(word) || self.target.contains(word))
    }
}

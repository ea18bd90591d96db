//! What lies outside of any order until it is compared.

use super::Place;
use crate::history::Topic;

/// A mail that came in whole.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// When.
    pub at_us: u64,
    /// To whom.
    pub recipients: &'a [String],
    /// The mail server's answer; 0 where it gave none.
    pub reply: u16,
}

/// A record that is no message of the system.
#[derive(Clone, Copy, Debug)]
pub struct Strange<'a> {
    /// Its topic.
    pub topic: Topic,
    /// Where it lies.
    pub place: Place,
    /// Its key.
    pub key: &'a str,
    /// Why it cannot be read; none where the run itself put it there.
    pub why: Option<&'a str>,
}

impl Delivery<'_> {
    /// Whether the mail server took it.
    pub fn accepted(&self) -> bool {
        self.reply == 250
    }

    /// Whether its sender never learnt what became of it.
    pub fn unanswered(&self) -> bool {
        self.reply == 0
    }
}

//! A TCP relay that can be late, slow, silent and broken: every connection of the system leads through a link of it.

mod link;
mod manners;
mod relay;
mod seeker;
#[cfg(test)]
mod tests;

pub use link::Link;
pub use manners::{Cut, Manners, Place, WAYS, Way};

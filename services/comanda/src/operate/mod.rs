//! What an operator does beside the running roles: repair, clean up, look.

pub mod dead_letters;
pub mod purge;
pub mod republish;
pub mod status;
pub mod store;
pub mod workflow;

//! What an operator does beside the running roles: repair, clean up, look. Each service says what may be asked of it (its module
//! `operator`); here it is put together and printed.

pub mod dead_letters;
pub mod numbers;
pub mod purge;
pub mod rebuild;
pub mod republish;
pub mod status;
pub mod workflow;

/// Orders that one statement looks at, so that none runs long.
const CHUNK: i64 = 2_000;

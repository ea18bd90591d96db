//! What an operator does beside the running roles: repair, clean up, look. Each service says what may be asked of it (its module
//! `operator`); here it is put together and printed.

pub mod audit;
pub mod customer;
pub mod dead_letters;
pub mod keys;
mod lines;
pub mod numbers;
mod period;
pub mod purge;
pub mod rebuild;
pub mod republish;
pub mod status;
pub mod workflow;

/// Orders that one statement looks at, so that none runs long.
const CHUNK: i64 = 2_000;

/// Who runs this command, for the audit: a caller that can write into the database can also choose this name.
fn invoker() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    format!("operator {}", user.as_deref().unwrap_or("unknown"))
}

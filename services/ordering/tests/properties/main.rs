//! What must hold whatever comes from outside.

mod orders;
mod refusals;

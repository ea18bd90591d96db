//! The judge, on hand-made histories: a right one passes, and each broken one is caught by the invariant meant for it.

mod alter;
mod analytics;
mod creation;
mod dispatch;
mod ending;
mod kept;
mod large;
mod mails;
mod mutants;
mod rides;
mod right;
mod story;
mod streams;
mod tenants;
mod text;
mod topics;

//! The judge, on hand-made histories: a right one passes, and each broken one is caught by the invariant meant for it.

mod alter;
mod right;
mod story;

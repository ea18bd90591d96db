//! What must hold whatever comes from outside.

mod files;
mod lifecycle;
mod model;

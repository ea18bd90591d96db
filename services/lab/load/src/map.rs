//! Places, and where people in a city want to be driven: made up, or read from trips that were really made.

mod demand;
mod place;
mod trips;

pub use self::{demand::Demand, place::Place};

//! What one replica does for all: it gives orders to couriers and looks after what is overdue.

mod available;
pub mod expected;
pub mod overdue;
pub mod rounds;
pub mod trips;

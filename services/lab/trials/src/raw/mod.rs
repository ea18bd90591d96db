//! Calls and connections whose bytes are of the caller's choice: messages over a library's HTTP/2, and HTTP/2 made by hand.

mod call;
pub mod frames;
pub mod wire;

pub use call::call;

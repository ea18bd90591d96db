//! Judges a recorded run of Comanda: what clients saw, against what the database, the topics and the mail server hold.
//!
//! It knows the contracts and nothing of the code: its only input is a history, one [`history::Line`] a line of JSON.

pub mod history;

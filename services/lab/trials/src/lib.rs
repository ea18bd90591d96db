//! Attacks a running Comanda with faults, records what clients saw, and has it judged.

pub mod attempt;
pub mod cluster;
pub mod dump;
pub mod hostile;
pub mod named;
pub mod nemesis;
pub mod planted;
pub mod proxy;
mod raw;
pub mod recorder;
pub mod report;
pub mod run;
pub mod smtp;
pub mod workload;

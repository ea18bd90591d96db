//! One file for each invariant: a function that looks at a case and tells what must not be.

pub mod account;
pub mod analytics;
pub mod chain;
pub mod commands;
pub mod dispatch;
pub mod durable;
pub mod hygiene;
pub mod idempotent;
pub mod ledger;
pub mod liveness;
pub mod log_order;
pub mod mail;
pub mod phantom;
pub mod reads;
pub mod tenants;
pub mod timers;
pub mod watch;
pub mod watch_all;

use crate::{case::Case, findings::Findings, invariant::Invariant};

/// Looks for violations.
pub type Check = fn(&Case<'_>, &mut Findings<'_, '_>);

/// Every invariant with its judges, and whether they need what was left at the end.
pub const ALL: &[(Invariant, Check, bool)] = &[
    (Invariant::C1Durable, durable::check, true),
    (Invariant::C2NoPhantom, phantom::check, true),
    (Invariant::C3Idempotent, idempotent::check, true),
    (Invariant::C3Idempotent, commands::check, true),
    (Invariant::C4Chain, chain::check, true),
    (Invariant::C4Chain, reads::check, true),
    (Invariant::C5LogOrder, log_order::check, true),
    (Invariant::C6Timers, timers::check, true),
    (Invariant::C7Watch, watch::check, true),
    (Invariant::C7Watch, watch_all::check, true),
    (Invariant::C8Mail, ledger::check, true),
    (Invariant::C8Mail, mail::check, true),
    (Invariant::C9Account, account::check, true),
    (Invariant::C10Tenants, tenants::check, true),
    (Invariant::C11Liveness, liveness::check, false),
    (Invariant::C12Hygiene, hygiene::check, false),
    (Invariant::C13Dispatch, dispatch::assignments::check, true),
    (Invariant::C13Dispatch, dispatch::steps::check, true),
    (Invariant::C13Dispatch, dispatch::log::check, true),
    (Invariant::C13Dispatch, dispatch::shown::check, true),
    (Invariant::C13Dispatch, dispatch::positions::check, true),
    (Invariant::C13Dispatch, dispatch::waiting::check, true),
    (Invariant::C14Analytics, analytics::check, true),
];

//! How people behave.

use std::time::Duration;

use clap::Args;
use rand::{RngExt, rngs::StdRng};

/// Of a hundred.
#[derive(Args, Clone, Debug)]
pub struct Manners {
    /// Of a hundred offers, so many are declined. Without offers (COMANDA_OFFER_MS = 0) there are none to decline.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    decline_percent: u32,
    /// Of a hundred jobs, so many are given back on the way to the pickup.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    withdraw_percent: u32,
    /// Of a hundred jobs, on so many the courier falls silent on the way to the pickup, for three minutes.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    silent_percent: u32,
    /// Of a hundred rides, so many are cancelled by who asked for them, most of them while a courier is on the way.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    cancel_percent: u32,
}

/// What a courier makes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It does it.
    Willing,
    /// It gives it back on the way.
    Unwilling,
    /// It is not heard from for a while.
    Silent,
}

impl Manners {
    pub(super) fn declines(&self, random: &mut StdRng) -> bool {
        happens(self.decline_percent, random)
    }

    pub(super) fn mood(&self, random: &mut StdRng) -> Mood {
        match random.random_range(0..100) {
            point if point < self.withdraw_percent => Mood::Unwilling,
            point if point < self.withdraw_percent + self.silent_percent => Mood::Silent,
            _ => Mood::Willing,
        }
    }

    /// How long somebody waits before the ride is cancelled, if it ever is.
    pub(super) fn cancels_after(&self, random: &mut StdRng) -> Option<Duration> {
        happens(self.cancel_percent, random).then(|| Duration::from_millis(random.random_range(0..12_000)))
    }
}

fn happens(percent: u32, random: &mut StdRng) -> bool {
    random.random_range(0..100) < percent
}

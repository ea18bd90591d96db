//! From events to changes of the sums: a pure function. Each event counts in its hour, its day and its month.

use std::{collections::BTreeMap, ops::AddAssign};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    event::{Event, Fact},
    job::Job,
    moved::Moved,
    span::Span,
};

/// What a batch changes.
#[derive(Debug, Default, PartialEq)]
pub struct Changes<'e> {
    /// Sums of transitions.
    pub moves: BTreeMap<MoveKey<'e>, MoveSums>,
    /// Sums of couriers.
    pub jobs: BTreeMap<JobKey<'e>, JobSums>,
    /// The last counted version of each order, and when it ended.
    pub gates: BTreeMap<Uuid, Gate>,
}

/// The last counted version of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// The version.
    pub version: i64,
    /// When the order ended, if it is known to have.
    pub end_time: Option<OffsetDateTime>,
}

/// What transitions are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct MoveKey<'e> {
    pub tenant: &'e str,
    pub span: Span,
    pub span_time: OffsetDateTime,
    pub workflow: &'e str,
    pub from_status: &'e str,
    pub to_status: &'e str,
    pub phase: i16,
    pub trigger: i16,
    pub currency: &'e str,
}

/// What is counted of transitions. The sums of money and time hold more than any column of one order. Each duration (in microseconds) is kept,
/// since a histogram is large, and most rows of a batch get few.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct MoveSums {
    pub orders: i64,
    pub items: i64,
    pub total_units: i128,
    pub total_nanos: i128,
    pub dwell_us: i128,
    pub dwells: Vec<i64>,
}

/// What jobs are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct JobKey<'e> {
    pub tenant: &'e str,
    pub span: Span,
    pub span_time: OffsetDateTime,
    pub workflow: &'e str,
    pub courier_id: &'e str,
}

/// What is counted of jobs. Durations as in [`MoveSums`].
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct JobSums {
    pub offered: i64,
    pub refused: i64,
    pub allotted: i64,
    pub released: i64,
    pub picked_up: i64,
    pub on_time: i64,
    pub completed: i64,
    pub pickup_us: i128,
    pub pickups: Vec<i64>,
    pub idle_us: i128,
    pub busy_us: i128,
}

/// Folds events. None of them must have been counted before.
pub fn fold<'e>(events: impl IntoIterator<Item = &'e Event>) -> Changes<'e> {
    let mut changes = Changes::default();
    for event in events {
        let gate = changes.gates.entry(event.order_id).or_default();
        gate.version = gate.version.max(event.version);
        gate.end_time = gate.end_time.max(event.end_time());
        match &event.fact {
            Fact::Moved(moved) => changes.moves.entry(move_key(event, moved)).or_default().count(moved),
            Fact::Job { courier_id, job } => changes.jobs.entry(job_key(event, courier_id)).or_default().count(*job),
            Fact::Other => {}
        }
    }
    changes.widen();
    changes
}

fn move_key<'e>(event: &'e Event, moved: &'e Moved) -> MoveKey<'e> {
    MoveKey {
        tenant: &event.tenant,
        span: Span::Hour,
        span_time: Span::Hour.start(event.time),
        workflow: &event.workflow,
        from_status: &moved.from_status,
        to_status: &moved.to_status,
        phase: moved.phase,
        trigger: moved.trigger,
        currency: &moved.currency,
    }
}

fn job_key<'e>(event: &'e Event, courier_id: &'e str) -> JobKey<'e> {
    let span_time = Span::Hour.start(event.time);
    JobKey { tenant: &event.tenant, span: Span::Hour, span_time, workflow: &event.workflow, courier_id }
}

impl MoveSums {
    fn count(&mut self, moved: &Moved) {
        self.orders += 1;
        self.items += i64::from(moved.items);
        self.total_units += i128::from(moved.units);
        self.total_nanos += i128::from(moved.nanos);
        if let Some(dwell_us) = moved.dwell_us {
            self.dwell_us += i128::from(dwell_us);
            self.dwells.push(dwell_us);
        }
    }
}

impl JobSums {
    fn count(&mut self, job: Job) {
        match job {
            Job::Offered => self.offered += 1,
            Job::Refused => self.refused += 1,
            Job::Allotted { idle_us } => {
                self.allotted += 1;
                self.idle_us += i128::from(idle_us);
            }
            Job::Released => self.released += 1,
            Job::PickedUp { pickup_us, on_time } => {
                self.picked_up += 1;
                self.on_time += i64::from(on_time);
                self.pickup_us += i128::from(pickup_us);
                self.pickups.push(pickup_us);
            }
            Job::Completed { busy_us } => {
                self.completed += 1;
                self.busy_us += i128::from(busy_us);
            }
        }
    }
}

impl Changes<'_> {
    /// Adds the sums of days and months to those of hours.
    fn widen(&mut self) {
        for span in [Span::Day, Span::Month] {
            let is_hour = |span: Span| span == Span::Hour;
            let moves: Vec<_> =
                self.moves.iter().filter(|(key, _)| is_hour(key.span)).map(|(k, s)| (*k, s.clone())).collect();
            for (key, sums) in moves {
                let key = MoveKey { span, span_time: span.start(key.span_time), ..key };
                *self.moves.entry(key).or_default() += sums;
            }
            let jobs: Vec<_> =
                self.jobs.iter().filter(|(key, _)| is_hour(key.span)).map(|(k, s)| (*k, s.clone())).collect();
            for (key, sums) in jobs {
                let key = JobKey { span, span_time: span.start(key.span_time), ..key };
                *self.jobs.entry(key).or_default() += sums;
            }
        }
    }
}

impl AddAssign for MoveSums {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.items += other.items;
        self.total_units += other.total_units;
        self.total_nanos += other.total_nanos;
        self.dwell_us += other.dwell_us;
        self.dwells.extend(other.dwells);
    }
}

impl AddAssign for JobSums {
    fn add_assign(&mut self, other: Self) {
        self.offered += other.offered;
        self.refused += other.refused;
        self.allotted += other.allotted;
        self.released += other.released;
        self.picked_up += other.picked_up;
        self.on_time += other.on_time;
        self.completed += other.completed;
        self.pickup_us += other.pickup_us;
        self.pickups.extend(other.pickups);
        self.idle_us += other.idle_us;
        self.busy_us += other.busy_us;
    }
}

#[cfg(test)]
mod tests;

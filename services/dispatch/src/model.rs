//! What dispatch knows of an order that needs a courier, and of who has it.

use comanda_proto::v1::{AssignmentOutcome, AssignmentState};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::place::CourierKey;

/// Where an order's search for a courier stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its time has not come.
    Held = 1,
    /// It waits for a courier.
    Waiting = 2,
    /// It has an open assignment.
    Taken = 3,
    /// It needs none any more, or not now.
    Done = 4,
}

impl From<i16> for JobState {
    fn from(state: i16) -> Self {
        match state {
            1 => Self::Held,
            2 => Self::Waiting,
            3 => Self::Taken,
            _ => Self::Done,
        }
    }
}

/// An order that has needed a courier.
#[derive(Clone, Debug, FromRow)]
pub struct Job {
    /// The order.
    pub order_id: Uuid,
    /// Whose order it is.
    pub tenant: String,
    /// The order's number for people.
    pub number: i64,
    /// The workflow that the order follows.
    pub workflow: String,
    /// The revision it is pinned to.
    pub workflow_revision: i32,
    /// The last version that was read from order-transitions.
    pub order_version: i64,
    /// The order's status in that version.
    pub order_status: String,
    /// The last event's version.
    pub event_version: i64,
    /// Where the search stands.
    #[sqlx(rename = "job_state", try_from = "i16")]
    pub state: JobState,
    /// When a courier may be looked for.
    pub not_before: OffsetDateTime,
    /// Since when it waits.
    pub waiting_since: OffsetDateTime,
    /// Assignments that were made.
    pub attempts: i32,
    /// Couriers that are not asked again.
    pub declined: Vec<String>,
    /// The last event with a step, while no version of the order has answered it.
    pub step_version: Option<i64>,
    /// The version of the order on which that step is to be taken; a higher one answers it.
    pub step_expects: Option<i64>,
}

impl Job {
    /// The version that the order will have once every step so far is taken: what the next step expects.
    pub fn next_version(&self) -> i64 {
        self.step_expects.map_or(self.order_version, |expects| self.order_version.max(expects + 1))
    }

    /// Notes a newer version of the order. A step that expected an older one is answered by it, taken or refused.
    pub fn note(&mut self, version: i64, status: &str) {
        self.order_version = version;
        self.order_status = status.to_owned();
        if self.step_expects.is_some_and(|expects| expects < version) {
            self.forget_steps();
        }
    }

    /// No step is waited for any more.
    pub fn forget_steps(&mut self) {
        (self.step_version, self.step_expects) = (None, None);
    }
}

/// An order in the hands of a courier, or offered to one.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Assignment {
    /// The order.
    pub order_id: Uuid,
    /// Number of the assignment in its order, from 1.
    pub attempt: i32,
    /// Whose order and courier they are.
    pub tenant: String,
    /// The courier.
    pub courier_id: String,
    /// [`AssignmentState`] as a number.
    pub state: i16,
    /// [`AssignmentOutcome`] as a number; 0 while it is open.
    pub outcome: i16,
    /// Until when an offer may be accepted.
    pub offered_until: Option<OffsetDateTime>,
    /// The pickup that was promised.
    pub promised_pickup_time: OffsetDateTime,
    /// The pickup as expected now.
    pub expected_pickup_time: Option<OffsetDateTime>,
    /// The arrival at the drop-off as expected now.
    pub expected_dropoff_time: Option<OffsetDateTime>,
    /// When the order was offered or allotted.
    pub create_time: OffsetDateTime,
    /// When it was allotted.
    pub allot_time: Option<OffsetDateTime>,
    /// When dispatch saw that the order's status says so.
    pub confirm_time: Option<OffsetDateTime>,
    /// When the courier was at the pickup.
    pub arrive_time: Option<OffsetDateTime>,
    /// When it was picked up.
    pub pickup_time: Option<OffsetDateTime>,
    /// When the last event told of a delay.
    pub delay_told_time: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

impl Assignment {
    /// Who has it.
    pub fn courier(&self) -> CourierKey {
        CourierKey::new(&self.tenant, &self.courier_id)
    }

    /// Where it stands.
    pub fn state(&self) -> AssignmentState {
        AssignmentState::try_from(i32::from(self.state)).unwrap_or_default()
    }

    /// How it ended.
    pub fn outcome(&self) -> AssignmentOutcome {
        AssignmentOutcome::try_from(i32::from(self.outcome)).unwrap_or_default()
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }
}

/// A job with the assignment that is spoken of, and the database's time when both were read.
#[derive(Clone, Debug)]
pub struct Case {
    /// The job.
    pub job: Job,
    /// Its open assignment, or the one that a caller named.
    pub assignment: Option<Assignment>,
    /// When they were read, by the database's clock: the time of what is decided now.
    pub now: OffsetDateTime,
}

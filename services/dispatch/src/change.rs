//! A change of a job, of its assignment, and the event that tells of it: built without I/O, applied by [`Store::apply`](crate::store::Store).
//!
//! Every change names the versions that it was decided on, and is applied only while the job still has both.

use comanda_proto::{
    events::{AssignmentEvent, AssignmentEventType as Type, Step},
    v1::{AssignmentOutcome, AssignmentState},
    views::timestamp,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    model::{Assignment, Case, Job, JobState},
    place::CourierKey,
};

/// Who acts where nobody called.
pub const SYSTEM: &str = "system:dispatch";

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Change {
    /// Event version and order version that were decided on.
    pub decided_on: (i64, i64),
    /// When, by the database's clock.
    pub time: OffsetDateTime,
    /// The job as it is to be.
    pub job: Job,
    /// The assignment as it is to be, where it changes.
    pub assignment: Option<Assignment>,
    /// A courier that is not to be asked again for this order.
    pub excluded: Option<String>,
    /// What is published: without order_id, version, tenant and event_time.
    pub event: Option<AssignmentEvent>,
}

/// Who does something, and why.
#[derive(Clone, Copy, Debug)]
pub struct By<'b> {
    /// "system:dispatch", or the subject of a caller.
    pub actor: &'b str,
    /// In a few words; may be empty.
    pub reason: &'b str,
}

impl By<'static> {
    /// Dispatch itself.
    pub const fn system(reason: &'static str) -> Self {
        Self { actor: SYSTEM, reason }
    }
}

impl Change {
    /// A change of nothing so far.
    pub fn of(case: &Case) -> Self {
        let Case { job, assignment, now } = case;
        Self {
            decided_on: (job.event_version, job.order_version),
            time: *now,
            job: job.clone(),
            assignment: assignment.clone(),
            excluded: None,
            event: None,
        }
    }

    /// Ends the assignment. The job is done; [`Self::requeue`] puts it back.
    #[must_use]
    pub fn end(mut self, outcome: AssignmentOutcome) -> Self {
        if let Some(assignment) = &mut self.assignment {
            assignment.state = AssignmentState::Ended as i16;
            assignment.outcome = outcome as i16;
            assignment.ended_at = Some(self.time);
        }
        self.job.state = JobState::Done;
        self
    }

    /// The job waits again, from now on.
    #[must_use]
    pub fn requeue(mut self) -> Self {
        self.job.state = JobState::Waiting;
        self.job.waiting_since = self.time;
        self
    }

    /// The assignment's courier is not asked again for this order.
    #[must_use]
    pub fn exclude(mut self) -> Self {
        self.excluded = self.assignment.as_ref().map(|assignment| assignment.courier_id.clone());
        self
    }

    /// Tells of it, and asks for the order to enter a status; an empty one means that it stays where it is.
    #[must_use]
    pub fn tell(mut self, kind: Type, by: By<'_>, to_status: &str) -> Self {
        self.job.event_version += 1;
        let step = step(&self.job, self.job.event_version, to_status);
        if let Some(step) = &step {
            self.job.step_version = Some(self.job.event_version);
            self.job.step_expects = Some(step.expected_version);
        }
        self.event = Some(event(&self.job, self.assignment.as_ref(), kind, by, step));
        self
    }
}

/// The couriers whose assignments change.
pub fn couriers(changes: &[Change]) -> Vec<CourierKey> {
    changes.iter().filter_map(|change| change.assignment.as_ref()).map(Assignment::courier).collect()
}

/// The step that an event of a job asks for; an empty status asks for none.
pub fn step(job: &Job, event_version: i64, to_status: &str) -> Option<Step> {
    (!to_status.is_empty()).then(|| Step {
        to_status: to_status.into(),
        expected_version: job.next_version(),
        request_id: Uuid::new_v5(&job.order_id, event_version.to_string().as_bytes()).to_string(),
    })
}

/// What is published of a job and its assignment as they are.
pub fn event(
    job: &Job,
    assignment: Option<&Assignment>,
    kind: Type,
    by: By<'_>,
    step: Option<Step>,
) -> AssignmentEvent {
    let mut event = AssignmentEvent {
        r#type: kind.into(),
        workflow: job.workflow.clone(),
        actor: by.actor.into(),
        reason: by.reason.into(),
        step,
        ..AssignmentEvent::default()
    };
    let Some(assignment) = assignment else { return event };
    let is_after_pickup = matches!(kind, Type::PickedUp | Type::Completed);
    let tells_allot_time = matches!(kind, Type::Arrived | Type::PickedUp | Type::Completed | Type::Released);
    event.attempt = assignment.attempt;
    event.courier_id = assignment.courier_id.clone();
    event.promised_pickup_time = Some(timestamp(assignment.promised_pickup_time));
    event.expected_pickup_time =
        assignment.expected_pickup_time.filter(|_| assignment.pickup_time.is_none()).map(timestamp);
    event.expected_dropoff_time = assignment.expected_dropoff_time.filter(|_| kind != Type::Completed).map(timestamp);
    event.offer_expire_time = assignment.offered_until.filter(|_| kind == Type::Offered).map(timestamp);
    event.allot_time = assignment.allot_time.filter(|_| tells_allot_time).map(timestamp);
    event.pickup_time = assignment.pickup_time.filter(|_| is_after_pickup).map(timestamp);
    event
}

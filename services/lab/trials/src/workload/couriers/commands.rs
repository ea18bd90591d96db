//! Calls of a courier, each in the history.

use std::sync::Arc;

use comanda_checker::history::{Answer, CourierAction, Op};
use comanda_proto::{
    errors::reason,
    v1::{
        AcceptOfferRequest, Assignment, CompleteAssignmentRequest, Courier, CourierStatus, DeclineOfferRequest,
        Location, MarkArrivedRequest, MarkPickedUpRequest, RegisterCourierRequest, ReportLocationRequest,
        SetCourierStatusRequest, WithdrawAssignmentRequest,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use tonic::Status;

use super::CAPACITY;
use crate::{
    cluster::Role,
    workload::{
        calls::{Attempt, Patience},
        clients::Clients,
        content,
        replicas::Way,
        shown,
    },
};

/// Who calls.
pub(super) struct Caller {
    pub(super) clients: Arc<Clients>,
    pub(super) courier_id: String,
    pub(super) rng: StdRng,
}

/// Which assignment; none where it concerns the courier alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    pub(super) order_id: String,
    pub(super) attempt: i32,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    /// For good.
    Refused,
    /// The order is not there yet.
    Early,
    Unknown,
}

impl End {
    fn of(attempt: &Attempt) -> Self {
        let early = [reason::NOT_CONFIRMED, reason::NOT_ARRIVED, reason::NOT_PICKED_UP];
        match attempt.reason.as_deref() {
            _ if attempt.is_ok() => Self::Done,
            _ if attempt.may_be_repeated(true) => Self::Unknown,
            Some(reason) if early.contains(&reason) => Self::Early,
            _ => Self::Refused,
        }
    }
}

impl Caller {
    /// The same courier, doing something else at the same time.
    pub(super) fn fork(&mut self) -> Self {
        let rng = StdRng::from_rng(&mut self.rng);
        Self { clients: self.clients.clone(), courier_id: self.courier_id.clone(), rng }
    }

    /// Makes a call at a random replica.
    pub(super) async fn send(&mut self, action: CourierAction, target: &Target) -> End {
        let way = self.clients.replicas.any(Role::Dispatch, &mut self.rng);
        let patience = Patience::draw(&self.clients.settings, &mut self.rng);
        let Target { order_id, attempt } = target.clone();
        let courier_id = self.courier_id.clone();
        let op = Op::Courier { action, courier_id: courier_id.clone(), order_id, attempt };
        let place = content::position(&mut self.rng);
        let location = Location { position: Some(place), record_time: None, accuracy_meters: 8.0 };
        let call = call(way.clone(), action, courier_id, target.clone(), location);
        End::of(&self.clients.call(&self.courier_id, &way.replica, op, patience, call).await)
    }
}

async fn call(
    way: Way,
    action: CourierAction,
    courier_id: String,
    Target { order_id, attempt }: Target,
    location: Location,
) -> Result<Answer, Status> {
    let mut dispatch = way.dispatch();
    match action {
        CourierAction::Register => {
            let courier = Courier {
                name: format!("Name of {courier_id}"),
                vehicle: "a white car".into(),
                courier_id,
                capacity: CAPACITY,
                ..Courier::default()
            };
            dispatch.register_courier(RegisterCourierRequest { courier: Some(courier) }).await.map(|_| TAKEN)
        }
        CourierAction::GoOnline | CourierAction::GoOffline => {
            let is_online = action == CourierAction::GoOnline;
            let status = if is_online { CourierStatus::Available } else { CourierStatus::Offline }.into();
            let request = SetCourierStatusRequest { courier_id, status, shift_end_time: None };
            dispatch.set_courier_status(request).await.map(|_| TAKEN)
        }
        CourierAction::Locate => {
            let request = ReportLocationRequest { courier_id, location: Some(location) };
            let answer = dispatch.report_location(request).await?.into_inner();
            Ok(Answer::Courier { taken: answer.taken })
        }
        CourierAction::Accept => {
            let answer = dispatch.accept_offer(AcceptOfferRequest { order_id, attempt }).await?.into_inner();
            assignment(answer.assignment, answer.replayed)
        }
        CourierAction::Decline => {
            let request = DeclineOfferRequest { order_id, attempt, reason: "a trial".into() };
            let answer = dispatch.decline_offer(request).await?.into_inner();
            assignment(answer.assignment, answer.replayed)
        }
        CourierAction::Withdraw => {
            let request = WithdrawAssignmentRequest { order_id, attempt, reason: "a trial".into() };
            let answer = dispatch.withdraw_assignment(request).await?.into_inner();
            assignment(answer.assignment, answer.replayed)
        }
        CourierAction::Arrive => {
            let answer = dispatch.mark_arrived(MarkArrivedRequest { order_id, attempt }).await?.into_inner();
            assignment(answer.assignment, answer.replayed)
        }
        CourierAction::PickUp => {
            let answer = dispatch.mark_picked_up(MarkPickedUpRequest { order_id, attempt }).await?.into_inner();
            assignment(answer.assignment, answer.replayed)
        }
        CourierAction::Complete => {
            let request = CompleteAssignmentRequest { order_id, attempt };
            let answer = dispatch.complete_assignment(request).await?.into_inner();
            assignment(answer.assignment, answer.replayed)
        }
        CourierAction::Assign => Err(Status::internal("couriers do not assign orders")),
    }
}

const TAKEN: Answer = Answer::Courier { taken: true };

fn assignment(assignment: Option<Assignment>, replayed: bool) -> Result<Answer, Status> {
    let assignment = assignment.ok_or_else(|| Status::internal("OK without an assignment"))?;
    let state = shown::assignment_state(assignment.state());
    Ok(Answer::Assignment { attempt: assignment.attempt, courier_id: assignment.courier_id, state, replayed })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn what_is_early_or_open_is_tried_again_and_what_is_refused_is_not() {
        let with = |code, reason: &str| End::of(&Attempt { code, reason: Some(reason.into()), answer: None });
        assert_eq!(with(Code::Ok, ""), End::Done);
        assert_eq!(with(Code::Unavailable, ""), End::Unknown);
        assert_eq!(with(Code::FailedPrecondition, "NOT_CONFIRMED"), End::Early);
        assert_eq!(with(Code::FailedPrecondition, "ASSIGNMENT_ENDED"), End::Refused);
        assert_eq!(with(Code::NotFound, "ASSIGNMENT_NOT_FOUND"), End::Refused);
    }
}

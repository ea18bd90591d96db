//! Who has an order, for its mails and its watchers: read from dispatch's view, and shown only while the order's status says that somebody
//! has it.

pub mod store;

use comanda_proto::{
    v1::{Phase, Workflow},
    views::CourierRow,
};

/// In whose hands an order is, as far as customers are told.
#[derive(Clone, Debug)]
pub enum InHands {
    /// This courier has it.
    Of(Box<CourierRow>),
    /// The order has no courier yet, or no longer; or the assignment is not confirmed.
    Nobodys,
    /// The job is done, or the order has ended.
    Done,
}

/// Judges by an order's status and the courier that dispatch has for it.
pub fn in_hands(workflow: &Workflow, status: &str, phase: i32, courier: Option<CourierRow>) -> InHands {
    let picked_up = workflow.dispatch.as_ref().is_some_and(|dispatch| dispatch.picked_up == status);
    match courier {
        Some(courier) if is_shown(workflow, status) => InHands::Of(courier.into()),
        // What was picked up stays with its courier to the end.
        None if picked_up => InHands::Done,
        _ if phase > Phase::Active.into() => InHands::Done,
        _ => InHands::Nobodys,
    }
}

/// Whether an order in this status is in the hands of a courier: from the status that dispatch enters for an allotted one (or the next one
/// that its workflow names) until the job is done. Before that an assignment is not confirmed, and nobody is told of it.
pub fn is_shown(workflow: &Workflow, status: &str) -> bool {
    let Some(dispatch) = &workflow.dispatch else { return false };
    !status.is_empty() && [&*dispatch.allotted, &*dispatch.arriving, &*dispatch.picked_up].contains(&status)
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::WorkflowDispatch;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn dispatch(allotted: &str, arriving: &str) -> Workflow {
        let dispatch = WorkflowDispatch {
            wanted_in: vec!["requested".into()],
            allotted: allotted.into(),
            arriving: arriving.into(),
            picked_up: "on_trip".into(),
            completed: "completed".into(),
            given_up: "no_driver".into(),
            withdrawn: "requested".into(),
        };
        Workflow { dispatch: Some(dispatch), ..Workflow::default() }
    }

    fn luz() -> CourierRow {
        CourierRow {
            order_id: Uuid::nil(),
            tenant: "default".into(),
            attempt: 1,
            courier_id: "luz".into(),
            name: "Luz".into(),
            vehicle: String::new(),
            plate: String::new(),
            promised_pickup_time: OffsetDateTime::UNIX_EPOCH,
            expected_pickup_time: None,
            expected_dropoff_time: None,
            confirm_time: None,
            pickup_time: None,
        }
    }

    #[test]
    fn a_courier_is_shown_from_the_first_status_of_the_chain_until_the_job_is_done() {
        let shown = |workflow: &Workflow| {
            let all = ["requested", "confirmed", "arriving", "on_trip", "completed", "no_driver", "cancelled", ""];
            all.into_iter().filter(|status| is_shown(workflow, status)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&dispatch("confirmed", "arriving")), ["confirmed", "arriving", "on_trip"]);
        assert_eq!(shown(&dispatch("", "arriving")), ["arriving", "on_trip"]);
        assert_eq!(shown(&dispatch("", "")), ["on_trip"]);
        assert!(shown(&Workflow::default()).is_empty());
    }

    #[test]
    fn a_courier_that_is_gone_was_withdrawn_before_the_pickup_and_is_done_after_it() {
        let workflow = dispatch("confirmed", "arriving");
        let told = |status: &str, phase: Phase, courier: Option<CourierRow>| match in_hands(
            &workflow,
            status,
            phase.into(),
            courier,
        ) {
            InHands::Of(courier) => courier.name,
            InHands::Nobodys => "nobody".into(),
            InHands::Done => "done".into(),
        };
        for (status, phase, with, without) in [
            ("requested", Phase::Active, "nobody", "nobody"),
            ("confirmed", Phase::Active, "Luz", "nobody"),
            ("arriving", Phase::Active, "Luz", "nobody"),
            ("on_trip", Phase::Active, "Luz", "done"),
            ("completed", Phase::Succeeded, "done", "done"),
            ("cancelled", Phase::Cancelled, "done", "done"),
        ] {
            assert_eq!(told(status, phase, Some(luz())), with, "{status}");
            assert_eq!(told(status, phase, None), without, "{status}");
        }
    }
}

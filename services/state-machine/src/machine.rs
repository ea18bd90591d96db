//! Which step a workflow allows from a status. Pure: no I/O and no clock.

use std::time::Duration;

use comanda_proto::v1::{Phase, Trigger, Workflow, WorkflowEdge, WorkflowStatus};

/// What may move an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The timer of the status ran out.
    Timer,
    /// One step ahead: to the named status, or to the only one.
    Advance {
        /// The status to enter.
        to: Option<String>,
    },
    /// Withdraw.
    Cancel,
    /// Refuse.
    Reject,
}

impl Command {
    /// The trigger that the transition records.
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Timer => Trigger::Timer,
            Self::Advance { .. } => Trigger::Advance,
            Self::Cancel => Trigger::Cancel,
            Self::Reject => Trigger::Reject,
        }
    }

    /// The status that the command names; empty where it names none.
    pub fn named_status(&self) -> &str {
        match self {
            Self::Advance { to } => to.as_deref().unwrap_or_default(),
            Self::Timer | Self::Cancel | Self::Reject => "",
        }
    }
}

/// A trigger as messages for people name it.
pub fn name_of(trigger: Trigger) -> String {
    trigger.as_str_name().trim_start_matches("TRIGGER_").to_lowercase()
}

/// How long an order stays in a status by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dwell {
    /// Until the timer.
    For(Duration),
    /// Until the timer, which counts from the order's start time where that is later.
    AfterStart(Duration),
    /// Until a command.
    Forever,
    /// The order has ended.
    Ended,
}

impl Dwell {
    /// Whether the timer counts from the order's start time, where that is later.
    pub fn counts_from_start(self) -> bool {
        matches!(self, Self::AfterStart(_))
    }
}

/// A step to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The status to enter.
    pub to_status: String,
    /// Its phase.
    pub phase: Phase,
    /// How long the order will stay there.
    pub dwell: Dwell,
}

/// What a command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take this step.
    Step(Step),
    /// The order is in the wanted status now. A status that it has left does not count.
    AlreadyThere,
    /// The order has ended.
    Ended,
    /// The workflow has no such step; these statuses could be entered by this kind of command.
    NotAllowed(Vec<String>),
}

/// Decides what a command does to an order in `status`.
pub fn decide(workflow: &Workflow, status: &str, command: &Command) -> Decision {
    let choices: Vec<&WorkflowEdge> = edges(workflow, status, command.trigger()).collect();
    if let Some(edge) = choose(&choices, command) {
        return match self::status(workflow, &edge.to_status) {
            Some(to) => Decision::Step(enter(workflow, to)),
            None => Decision::NotAllowed(Vec::new()),
        };
    }
    match self::status(workflow, status) {
        Some(here) if is_wanted(here, command) => Decision::AlreadyThere,
        Some(here) if here.phase() != Phase::Active => Decision::Ended,
        _ => Decision::NotAllowed(choices.into_iter().map(|edge| edge.to_status.clone()).collect()),
    }
}

fn choose<'w>(choices: &[&'w WorkflowEdge], command: &Command) -> Option<&'w WorkflowEdge> {
    match (command, choices) {
        (Command::Advance { to: Some(to) }, _) => choices.iter().find(|edge| edge.to_status == *to).copied(),
        (_, [only]) => Some(only),
        _ => None,
    }
}

fn is_wanted(here: &WorkflowStatus, command: &Command) -> bool {
    match command {
        Command::Timer => false,
        Command::Advance { to } => to.as_ref() == Some(&here.name),
        Command::Cancel => here.phase() == Phase::Cancelled,
        Command::Reject => here.phase() == Phase::Rejected,
    }
}

fn enter(workflow: &Workflow, to: &WorkflowStatus) -> Step {
    Step { to_status: to.name.clone(), phase: to.phase(), dwell: dwell(workflow, &to.name) }
}

/// How long an order stays in a status by itself.
pub fn dwell(workflow: &Workflow, status: &str) -> Dwell {
    let ended = self::status(workflow, status).is_none_or(|status| status.phase() != Phase::Active);
    match edges(workflow, status, Trigger::Timer).next() {
        _ if ended => Dwell::Ended,
        Some(edge) => {
            let delay = edge.delay_duration.and_then(|delay| delay.try_into().ok()).unwrap_or_default();
            if edge.after_start_time { Dwell::AfterStart(delay) } else { Dwell::For(delay) }
        }
        None => Dwell::Forever,
    }
}

/// A status of a workflow by name.
pub fn status<'w>(workflow: &'w Workflow, name: &str) -> Option<&'w WorkflowStatus> {
    workflow.statuses.iter().find(|status| status.name == name)
}

fn edges<'w>(workflow: &'w Workflow, from: &str, trigger: Trigger) -> impl Iterator<Item = &'w WorkflowEdge> {
    workflow.edges.iter().filter(move |edge| edge.from_status == from && edge.trigger() == trigger)
}

#[cfg(test)]
mod tests {
    use crate::workflow::shipped;

    use super::*;

    fn workflow(name: &str) -> Workflow {
        shipped().expect("the shipped workflows are valid").into_iter().find(|w| w.name == name).expect("shipped")
    }

    fn delivery() -> Workflow {
        workflow("delivery")
    }

    fn reached(decision: Decision) -> String {
        match decision {
            Decision::Step(step) => step.to_status,
            other => panic!("no step: {other:?}"),
        }
    }

    #[test]
    fn timers_lead_from_received_to_delivered_and_then_nowhere() {
        let workflow = delivery();
        let mut status = "received".to_string();
        for next in ["preparing", "dispatched", "delivered"] {
            assert_eq!(dwell(&workflow, &status), Dwell::For(Duration::from_secs(30)));
            status = reached(decide(&workflow, &status, &Command::Timer));
            assert_eq!(status, next);
        }
        assert_eq!(dwell(&workflow, &status), Dwell::Ended);
        assert_eq!(decide(&workflow, &status, &Command::Timer), Decision::Ended);
    }

    #[test]
    fn a_cancel_is_allowed_until_the_order_is_on_its_way() {
        let workflow = delivery();
        assert_eq!(reached(decide(&workflow, "preparing", &Command::Cancel)), "cancelled");
        assert_eq!(decide(&workflow, "dispatched", &Command::Cancel), Decision::NotAllowed(Vec::new()));
        assert_eq!(decide(&workflow, "cancelled", &Command::Cancel), Decision::AlreadyThere);
        assert_eq!(decide(&workflow, "delivered", &Command::Cancel), Decision::Ended);
    }

    #[test]
    fn an_advance_takes_the_only_step_or_the_named_one() {
        let workflow = delivery();
        let to = |name: &str| Command::Advance { to: Some(name.into()) };
        assert_eq!(reached(decide(&workflow, "received", &Command::Advance { to: None })), "preparing");
        assert_eq!(reached(decide(&workflow, "received", &to("preparing"))), "preparing");
        assert_eq!(decide(&workflow, "preparing", &to("preparing")), Decision::AlreadyThere);
        assert_eq!(decide(&workflow, "received", &to("delivered")), Decision::NotAllowed(vec!["preparing".into()]));
    }

    #[test]
    fn a_ride_waits_ten_minutes_from_its_start_and_then_has_no_driver() {
        let ride = workflow("ride");
        assert_eq!(dwell(&ride, "requested"), Dwell::AfterStart(Duration::from_secs(600)));
        assert_eq!(reached(decide(&ride, "requested", &Command::Timer)), "no_driver");
        let advance = |to: &str| Command::Advance { to: Some(to.into()) };
        assert_eq!(reached(decide(&ride, "requested", &advance("confirmed"))), "confirmed");
        assert_eq!(reached(decide(&ride, "arriving", &advance("requested"))), "requested");
        assert_eq!(decide(&ride, "on_trip", &Command::Cancel), Decision::NotAllowed(Vec::new()));
    }
}

//! What a command does to an order, against a model that knows nothing but a workflow's steps.

use std::time::Duration;

use comanda_proto::v1::{Phase, Workflow};
use comanda_state_machine::{
    edges::{Edge, Edges},
    machine::{Command, Decision, Dwell, Step, decide},
    workflow::parse,
};
use proptest::{collection::vec, prelude::*};

use crate::model::{Model, files};

/// A command: its trigger, and the status it names.
type Asked = (&'static str, Option<usize>);

fn commands() -> impl Strategy<Value = Vec<Asked>> {
    let named = prop::option::of(0..7_usize);
    let advance = named.prop_map(|to| ("advance", to));
    vec(prop_oneof![advance, Just(("timer", None)), Just(("cancel", None)), Just(("reject", None))], 1..12)
}

fn command((trigger, to): Asked) -> Command {
    match trigger {
        "timer" => Command::Timer,
        "cancel" => Command::Cancel,
        "reject" => Command::Reject,
        _ => Command::Advance { to: to.map(name) },
    }
}

fn name(status: usize) -> String {
    format!("s{status}")
}

fn number(name: &str) -> usize {
    name[1..].parse().expect("a name")
}

/// Where an order goes, or why it does not.
#[derive(Debug, PartialEq)]
enum Expected {
    Enters(usize),
    AlreadyThere,
    Ended,
    NotAllowed(Vec<usize>),
}

fn expected(model: &Model, status: usize, (trigger, named): Asked) -> Expected {
    let steps = model.steps().into_iter().filter(|(from, on, _)| (*from, *on) == (status, trigger));
    let targets: Vec<_> = steps.map(|(_, _, to)| to).collect();
    let wanted: Vec<_> = targets.iter().filter(|to| named.is_none_or(|named| named == **to)).copied().collect();
    let is_there = named == Some(status)
        || matches!((trigger, model.phases[status]), ("cancel", "cancelled") | ("reject", "rejected"));
    match wanted[..] {
        [only] => Expected::Enters(only),
        _ if is_there => Expected::AlreadyThere,
        _ if !model.is_active(status) => Expected::Ended,
        _ => Expected::NotAllowed(targets),
    }
}

fn entered(model: &Model, status: usize) -> Step {
    let phase = Phase::from_str_name(&format!("PHASE_{}", model.phases[status].to_uppercase())).expect("a phase");
    let dwell = match model.delay_ms(status) {
        _ if phase != Phase::Active => Dwell::Ended,
        Some(delay_ms) => Dwell::For(Duration::from_millis(delay_ms)),
        None => Dwell::Forever,
    };
    Step { to_status: name(status), phase, dwell }
}

fn told(model: &Model, expected: &Expected) -> Decision {
    match expected {
        Expected::Enters(status) => Decision::Step(entered(model, *status)),
        Expected::AlreadyThere => Decision::AlreadyThere,
        Expected::Ended => Decision::Ended,
        Expected::NotAllowed(targets) => Decision::NotAllowed(targets.iter().map(|status| name(*status)).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_order_goes_where_the_workflow_says_and_nowhere_else(model in files(), commands in commands()) {
        let Ok(workflow) = parse(&model.text()) else { return Ok(()) };
        let mut status = 0;
        for asked in commands {
            let expected = expected(&model, status, asked);
            prop_assert_eq!(decide(&workflow, &name(status), &command(asked)), told(&model, &expected), "{:?} in {}", asked, status);
            if let Expected::Enters(next) = expected {
                prop_assert!(model.is_active(status));
                status = next;
            }
        }
    }

    #[test]
    fn an_unknown_status_allows_no_step(model in files(), asked in commands()) {
        let Ok(workflow) = parse(&model.text()) else { return Ok(()) };
        for asked in asked {
            prop_assert_eq!(decide(&workflow, "nowhere", &command(asked)), Decision::NotAllowed(Vec::new()));
        }
    }

    #[test]
    fn the_edges_of_timers_are_what_is_decided_of_each_status(model in files(), revision in 1..9_i32) {
        let Ok(workflow) = parse(&model.text()) else { return Ok(()) };
        let mut edges = Edges::default();
        let later = Workflow { revision: revision + 1, ..workflow.clone() };
        let workflow = Workflow { revision, ..workflow };
        edges.add(&workflow);
        edges.add(&later);
        for status in 0..model.phases.len() {
            let of_status = |edge: &&Edge| {
                (edge.workflow.as_str(), edge.revision) == (workflow.name.as_str(), revision) && edge.from_status == name(status)
            };
            let listed = edges.iter().filter(of_status).map(|edge| Expected::Enters(number(&edge.step.to_status)));
            let listed: Vec<_> = listed.collect();
            let expected = expected(&model, status, ("timer", None));
            match decide(&workflow, &name(status), &Command::Timer) {
                Decision::Step(step) => {
                    prop_assert_eq!(listed, [expected]);
                    let edge = edges.iter().find(of_status).expect("is listed");
                    prop_assert_eq!(&edge.step, &step);
                }
                _ => prop_assert!(listed.is_empty() && !matches!(expected, Expected::Enters(_))),
            }
        }
        prop_assert_eq!(edges.iter().filter(|edge| edge.revision == revision).count() * 2, edges.iter().count());
    }

    #[test]
    fn timers_alone_bring_an_order_to_a_status_that_it_stays_in(model in files()) {
        let Ok(workflow) = parse(&model.text()) else { return Ok(()) };
        let mut status = name(0);
        let mut steps = 0;
        while let Decision::Step(step) = decide(&workflow, &status, &Command::Timer) {
            status = step.to_status;
            steps += 1;
            prop_assert!(steps <= model.phases.len());
        }
    }
}

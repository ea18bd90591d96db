//! A workflow file is a workflow that an order can follow to its end, or is refused with what is wrong.

use std::cell::Cell;

use comanda_kit::testing::outside::damaged;
use comanda_state_machine::workflow::{parse, shipped};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::model::{Model, files};

const DELIVERY: &str = include_str!("../../workflows/delivery.toml");

#[test]
fn a_file_is_accepted_exactly_if_an_order_could_follow_it() {
    let (accepted, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
    let result = runner.run(&files(), |model| {
        match parse(&model.text()) {
            Ok(workflow) => {
                prop_assert!(model.works(), "accepted:\n{}", model.text());
                prop_assert_eq!(workflow.edges.len(), model.steps().len());
                accepted.set(accepted.get() + 1);
            }
            Err(error) => {
                prop_assert!(!model.works(), "refused: {error}\n{}", model.text());
                prop_assert!(error.to_string().contains("random"), "{error}");
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(accepted.get() > 20 && refused.get() > 20, "{} accepted, {} refused", accepted.get(), refused.get());
}

proptest! {
    #[test]
    fn a_damaged_file_is_refused_with_a_message_or_works(changes in vec(any::<(u16, u8)>(), 1..4)) {
        let text = String::from_utf8_lossy(&damaged(DELIVERY.as_bytes(), &changes)).into_owned();
        match parse(&text) {
            Ok(workflow) => prop_assert!(!workflow.statuses.is_empty()),
            Err(error) => prop_assert!(error.to_string().len() > 10, "{error}"),
        }
    }

    #[test]
    fn what_is_no_file_is_refused(text in any::<String>()) {
        prop_assert!(parse(&text).is_err());
    }
}

#[test]
fn the_shipped_workflows_work_and_timers_without_end_do_not() {
    assert!(!shipped().expect("valid").is_empty());
    let edge = |from, to| crate::model::Edge { from: vec![from], to, on: vec!["timer"], delay_ms: Some(1) };
    let out = crate::model::Edge { from: vec![0], to: 2, on: vec!["advance"], delay_ms: None };
    let circle = Model { phases: vec!["active", "active", "failed"], edges: vec![edge(0, 1), edge(1, 0), out] };
    assert!(circle.timers_go_round() && !circle.works());
    assert!(parse(&circle.text()).expect_err("without end").to_string().contains("without end"));
}

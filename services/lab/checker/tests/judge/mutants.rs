//! Random changes to what a right history found at its end are noticed, whichever they are.

use comanda_checker::{Outcome, history::*};
use proptest::prelude::*;

use crate::{alter::verdict, story::calm};

#[derive(Clone, Debug)]
enum Change {
    Drop,
    Double,
    Version(i64),
    Status,
    Time(i64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Drop),
        Just(Change::Double),
        prop_oneof![-3..0_i64, 1..4_i64].prop_map(Change::Version),
        Just(Change::Status),
        prop_oneof![-5_000_000..-1_i64, 1..5_000_000_i64].prop_map(Change::Time),
    ]
}

/// The transition that a row or a record holds.
fn transition(what: &mut What) -> Option<&mut Transition> {
    match what {
        What::TransitionRow { transition, .. } => Some(transition),
        What::Record { content: RecordContent::Transition { transition, .. }, .. } => Some(transition),
        What::Event { event: Event::Transition { transition }, .. } => Some(transition),
        _ => None,
    }
}

fn apply(lines: &mut Vec<Line>, at: usize, change: &Change) {
    let told = transition(&mut lines[at].what).expect("chosen for it");
    match change {
        Change::Version(by) => told.version += by,
        Change::Status => told.to.push('?'),
        Change::Time(by_us) => told.time_us += by_us,
        Change::Drop => _ = lines.remove(at),
        Change::Double => {
            let mut again = lines[at].clone();
            if let What::Record { offset, .. } = &mut again.what {
                *offset += 1;
            }
            lines.insert(at + 1, again);
        }
    }
}

/// The last thing that a stream of one order shows before it breaks off. Nobody can tell whether it should have come.
fn is_cut_off(what: &What) -> bool {
    match what {
        What::Event { stream, event: Event::Transition { transition } } => *stream < 900 && transition.version == 2,
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_changed_transition_is_noticed_wherever_it_is_kept_or_shown(which in any::<prop::sample::Index>(), change in change()) {
        let mut lines = calm();
        let places: Vec<usize> =
            (0..lines.len()).filter(|&at| transition(&mut lines[at].what).is_some()).collect();
        let at = places[which.index(places.len())];
        prop_assume!(!matches!(change, Change::Drop) || !is_cut_off(&lines[at].what));
        apply(&mut lines, at, &change);
        prop_assert_eq!(verdict(lines).outcome(), Outcome::Fail);
    }

    #[test]
    fn two_records_that_changed_places_are_noticed(order in 0..4_u32, first in 1..3_i64) {
        let mut lines = calm();
        let order = format!("order-{order}");
        let place = |lines: &[Line], of: i64| {
            let record = |line: &Line| crate::alter::is_record(&line.what, Topic::Transitions, &order, of);
            lines.iter().position(record).expect("it is on the topic")
        };
        let (one, other) = (place(&lines, first), place(&lines, first + 1));
        let offset = |line: &Line| if let What::Record { offset, .. } = line.what { offset } else { 0 };
        let (low, high) = (offset(&lines[one]), offset(&lines[other]));
        for (at, to) in [(one, high), (other, low)] {
            let What::Record { offset, .. } = &mut lines[at].what else { panic!("chosen above") };
            *offset = to;
        }
        prop_assert_eq!(verdict(lines).outcome(), Outcome::Fail);
    }
}

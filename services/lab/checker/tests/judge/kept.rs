//! C4, C6: the history and the state of an order, what was read of it, and its timers.

use comanda_checker::{Invariant::*, history::*};

use crate::alter::{after, drop_where, edit, edit_everywhere, edit_step};

fn edit_state(lines: &mut [Line], change: impl Fn(&mut i64, &mut String, &mut String)) {
    edit(lines, |what| match what {
        What::StateRow { version, status, phase, .. } => {
            change(version, status, phase);
            true
        }
        _ => false,
    });
}

// --- C4 ---

#[test]
fn a_hole_in_a_history_is_noticed() {
    let hole = after(|lines| {
        drop_where(
            lines,
            |what| matches!(what, What::TransitionRow { transition, .. } if (&*transition.order_id, transition.version) == ("order-0", 2)),
        );
    });
    assert!(hole.contains(&C4Chain), "{hole:?}");
}

#[test]
fn a_version_that_is_there_twice_is_noticed() {
    let twice = after(|lines| {
        crate::alter::repeat(
            lines,
            |what| matches!(what, What::TransitionRow { transition, .. } if transition.version == 2),
            |_| {},
        );
    });
    assert_eq!(twice, [C4Chain]);
}

#[test]
fn a_step_that_the_workflow_does_not_have_is_noticed() {
    let wrong = after(|lines| edit_everywhere(lines, "order-1", 3, |transition| transition.trigger = "reject".into()));
    // Its command asked for something else.
    assert_eq!(
        wrong,
        [C2NoPhantom, C3Idempotent, C4Chain].into_iter().filter(|found| wrong.contains(found)).collect::<Vec<_>>()
    );
    assert!(wrong.contains(&C4Chain));
}

#[test]
fn a_step_that_does_not_begin_where_the_last_one_ended_is_noticed() {
    let wrong = after(|lines| edit_everywhere(lines, "order-0", 4, |transition| transition.from = "received".into()));
    assert_eq!(wrong, [C4Chain]);
}

#[test]
fn a_step_that_tells_a_wrong_time_of_its_beginning_is_noticed() {
    let wrong = after(|lines| edit_everywhere(lines, "order-0", 3, |transition| transition.from_time_us = Some(1)));
    assert_eq!(wrong, [C4Chain]);
}

#[test]
fn a_step_that_tells_another_total_than_its_order_is_noticed() {
    let wrong = after(|lines| edit_everywhere(lines, "order-0", 3, |transition| transition.total = "EUR 1".into()));
    assert_eq!(wrong, [C4Chain]);
    let wrong = after(|lines| edit_everywhere(lines, "order-0", 3, |transition| transition.item_count += 1));
    assert_eq!(wrong, [C4Chain]);
}

#[test]
fn a_state_that_is_not_the_last_transition_is_noticed() {
    assert_eq!(after(|lines| edit_state(lines, |version, _, _| *version += 1)), [C4Chain]);
    assert_eq!(after(|lines| edit_state(lines, |_, status, _| *status = "dispatched".into())), [C4Chain]);
    assert_eq!(after(|lines| drop_where(lines, |what| matches!(what, What::StateRow { .. }))), [C4Chain]);
}

#[test]
fn an_order_that_never_ends_is_noticed() {
    let endless = after(|lines| {
        let of = |transition: &Transition| (&*transition.order_id, transition.version) == ("order-0", 4);
        drop_where(lines, |what| match what {
            What::TransitionRow { transition, .. } | What::Event { event: Event::Transition { transition }, .. } => {
                of(transition)
            }
            What::Record { content: RecordContent::Transition { transition, .. }, .. } => of(transition),
            What::Return { answer: Some(Answer::Order { order }), .. } => order.version == 4,
            What::Return { answer: Some(Answer::History { transitions }), .. } => transitions.len() == 4,
            What::MailRow { message_id, .. } | What::Mail { message_id, .. } => message_id.starts_with("<order-0.4"),
            What::StreamEnd { code, .. } => code == "OK",
            _ => false,
        });
        edit(lines, |what| match what {
            What::StateRow { version, status, phase, due_time_us, .. } => {
                (*version, *status, *phase) = (3, "dispatched".into(), "active".into());
                *due_time_us = Some(crate::story::EPOCH_US + 3_503_000);
                true
            }
            _ => false,
        });
    });
    assert_eq!(endless, [C4Chain]);
}

#[test]
fn a_read_that_shows_what_never_was_is_noticed() {
    let wrong = after(|lines| {
        edit(lines, |what| match what {
            What::Return { answer: Some(Answer::Order { order }), .. } if order.version == 2 => {
                order.status = "dispatched".into();
                true
            }
            _ => false,
        });
    });
    assert_eq!(wrong, [C4Chain]);
}

#[test]
fn a_read_that_shows_another_order_is_noticed() {
    let foreign = after(|lines| {
        edit(lines, |what| match what {
            What::Return { answer: Some(Answer::Order { order }), .. } if order.version == 2 => {
                order.order_id = "order-of-somebody-else".into();
                true
            }
            _ => false,
        });
    });
    assert_eq!(foreign, [C4Chain]);
}

#[test]
fn a_history_that_is_shown_with_a_hole_is_noticed() {
    let wrong = after(|lines| {
        edit(lines, |what| match what {
            What::Return { answer: Some(Answer::History { transitions }), .. } if transitions.len() == 3 => {
                transitions.remove(1);
                true
            }
            _ => false,
        });
    });
    assert_eq!(wrong, [C4Chain]);
}

#[test]
fn a_read_that_goes_back_is_noticed() {
    let back = after(|lines| {
        let first = lines.iter().find_map(|line| match &line.what {
            What::Return { answer: Some(Answer::Order { order }), .. } if order.order_id == "order-2" => {
                Some(order.clone())
            }
            _ => None,
        });
        let first = first.expect("it is read at version 1");
        edit(lines, |what| match what {
            What::Return { answer: Some(Answer::Order { order }), .. }
                if order.order_id == "order-2" && order.version == 4 =>
            {
                *order = first.clone();
                true
            }
            _ => false,
        });
    });
    assert_eq!(back, [C4Chain]);
}

// --- C6 ---

#[test]
fn a_timer_that_fires_early_is_noticed() {
    let early = after(|lines| edit_everywhere_last(lines, -6_000));
    assert!(early.contains(&C6Timers), "{early:?}");
    assert!(!early.contains(&C4Chain), "{early:?}");
}

/// Moves the time of order 0's last transition, by timer, wherever it is told.
fn edit_everywhere_last(lines: &mut [Line], by_us: i64) {
    edit_everywhere(lines, "order-0", 4, |transition| transition.time_us += by_us);
    for line in lines {
        match &mut line.what {
            What::Return { answer: Some(Answer::Order { order }), .. }
            | What::Event { event: Event::Current { order }, .. }
                if order.order_id == "order-0" && order.version == 4 =>
            {
                order.status_time_us += by_us;
            }
            _ => {}
        }
    }
}

#[test]
fn a_timer_that_was_set_wrongly_is_noticed() {
    let wrong = after(|lines| {
        edit_everywhere(lines, "order-0", 2, |transition| *transition.next_time_us.as_mut().expect("a timer") += 1);
        for line in lines {
            match &mut line.what {
                What::Return { answer: Some(Answer::Order { order }), .. }
                | What::Event { event: Event::Current { order }, .. }
                    if order.order_id == "order-0" && order.version == 2 =>
                {
                    *order.next_time_us.as_mut().expect("a timer") += 1;
                }
                _ => {}
            }
        }
    });
    assert_eq!(wrong, [C6Timers]);
}

#[test]
fn a_transition_that_was_shown_before_its_time_is_noticed() {
    // As of a service that goes by a clock of its own, which is fast.
    assert_eq!(after(|lines| edit_everywhere_last(lines, 900_000)), [C6Timers]);
}

#[test]
fn a_timer_of_the_wrong_transition_is_noticed() {
    let wrong = after(|lines| edit_step(lines, "order-1", 3, |transition| transition.next_time_us = Some(1)));
    assert!(wrong.contains(&C6Timers), "{wrong:?}");
}

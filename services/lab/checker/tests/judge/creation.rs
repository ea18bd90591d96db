//! C1, C2, C3: what was asked for, what was answered and what is there.

use comanda_checker::{Invariant::*, history::*};

use crate::{
    alter::{after, drop_where, edit, edit_everywhere, edit_step, found, happened, is_record},
    story::{EPOCH_US, LAST_HEAL_US, TENANT, calm, new_order},
};

// --- C1 ---

#[test]
fn an_accepted_order_that_left_no_trace_is_lost() {
    let lost = after(|lines| {
        // The client that asked for it saw it once, and no client asked again.
        let order = new_order("customer-lost", Some("request-lost".into()));
        let shown = lines.iter().find_map(|line| match &line.what {
            What::Return { answer: Some(Answer::Created { order, .. }), .. } => Some(order.clone()),
            _ => None,
        });
        let (order_id, customer_id, digest) = ("order-lost".into(), order.customer_id.clone(), order.digest.clone());
        let create_time_us = EPOCH_US + LAST_HEAL_US as i64;
        let shown = shown.expect("order 0 was created");
        let shown = Order { order_id, number: 999, customer_id, digest, create_time_us, ..shown };
        let (client, replica) = ("client".into(), "ordering-0".into());
        happened(lines, What::Invoke { call: 991, client, tenant: TENANT.into(), replica, op: Op::Create(order) });
        let answer = Some(Answer::Created { order: shown, replayed: false });
        happened(lines, What::Return { call: 991, code: "OK".into(), reason: None, answer });
    });
    // Its request is not remembered, either.
    assert_eq!(lost, [C1Durable, C3Idempotent]);
}

#[test]
fn a_number_below_one_that_was_answered_before_is_noticed() {
    let swap =
        |number: &mut i64| *number = [100, 103, 102, 101][usize::try_from(*number - 100).expect("one of the four")];
    let falling = after(|lines| {
        for line in lines {
            match &mut line.what {
                What::OrderRow(row) => swap(&mut row.number),
                What::Record { content: RecordContent::Placed { number, .. }, .. } => swap(number),
                What::Return { answer: Some(Answer::Created { order, .. } | Answer::Order { order }), .. }
                | What::Event { event: Event::Current { order }, .. } => swap(&mut order.number),
                What::Return { answer: Some(Answer::Batch { results }), .. } => {
                    results
                        .iter_mut()
                        .filter_map(|result| result.order.as_mut())
                        .for_each(|order| swap(&mut order.number));
                }
                _ => {}
            }
        }
    });
    assert_eq!(falling, [C1Durable]);
}

#[test]
fn an_accepted_order_without_its_row_is_lost() {
    let lost =
        after(|lines| drop_where(lines, |what| matches!(what, What::OrderRow(row) if row.order_id == "order-1")));
    // Its remains are those of no order.
    assert_eq!(lost, [C1Durable, C2NoPhantom]);
}

#[test]
fn a_row_that_is_not_what_was_accepted_is_noticed() {
    let changed = after(|lines| {
        edit(lines, |what| match what {
            What::OrderRow(row) => {
                row.email = "someone@else.example".into();
                true
            }
            _ => false,
        });
    });
    assert_eq!(changed, [C1Durable, C2NoPhantom, C8Mail]);
}

#[test]
fn an_accepted_order_that_was_never_published_is_noticed() {
    let silent = after(|lines| drop_where(lines, |what| is_record(what, Topic::Orders, "order-1", 1)));
    assert_eq!(silent, [C1Durable]);
}

#[test]
fn one_order_that_answers_two_requests_is_noticed() {
    let shared = after(|lines| {
        let created =
            |what: &What| matches!(what, What::Invoke { op: Op::Create(order), .. } if order.request_id.is_none());
        let place = lines.iter().position(|line| created(&line.what)).expect("order 1");
        let (mut sent, mut answered) = (lines[place].clone(), lines[place + 1].clone());
        let (What::Invoke { call, .. }, What::Return { call: back, .. }) = (&mut sent.what, &mut answered.what) else {
            panic!("a call and its answer")
        };
        (*call, *back) = (990, 990);
        lines.insert(place, answered);
        lines.insert(place, sent);
    });
    assert_eq!(shared, [C1Durable]);
}

#[test]
fn a_number_that_names_two_orders_is_noticed() {
    let twins = after(|lines| {
        for line in lines {
            let text = serde_json::to_string(&line).expect("a line");
            *line = serde_json::from_str(&text.replace("\"number\":103", "\"number\":102")).expect("a line");
        }
    });
    assert_eq!(twins, [C1Durable]);
}

#[test]
fn an_order_that_is_not_found_any_more_is_noticed() {
    let forgotten = after(|lines| {
        let get = |what: &What| matches!(what, What::Return { answer: Some(Answer::Order { order }), .. } if order.version == 3);
        edit(lines, |what| {
            let chosen = get(what);
            if let (true, What::Return { code, reason, answer, .. }) = (chosen, what) {
                (*code, *reason, *answer) = ("NOT_FOUND".into(), Some("ORDER_NOT_FOUND".into()), None);
            }
            chosen
        });
    });
    assert_eq!(forgotten, [C1Durable]);
}

// --- C2 ---

#[test]
fn an_order_that_nobody_asked_for_is_a_phantom() {
    let phantom = after(|lines| drop_where(lines, |what| is_call_of(what, "customer-1")));
    assert_eq!(phantom, [C2NoPhantom]);
}

#[test]
fn an_order_whose_only_tries_were_refused_is_a_phantom() {
    let phantom = after(|lines| {
        let place = lines.iter().position(|line| is_call_of(&line.what, "customer-1")).expect("order 1");
        let What::Return { code, answer, .. } = &mut lines[place + 1].what else { panic!("its answer") };
        (*code, *answer) = ("RESOURCE_EXHAUSTED".into(), None);
    });
    assert_eq!(phantom, [C2NoPhantom]);
}

#[test]
fn an_order_of_which_one_try_is_unknown_is_no_phantom_whatever_came_after() {
    let mut lines = calm();
    edit(&mut lines, |what| match what {
        What::Return { code, answer, .. } if matches!(answer, Some(Answer::Created { replayed: true, .. })) => {
            (*code, *answer) = ("RESOURCE_EXHAUSTED".into(), None);
            true
        }
        _ => false,
    });
    let What::Run(run) = &mut lines[0].what else { panic!("the first line") };
    run.least_orders = 3;
    assert_eq!(crate::alter::violated(&crate::alter::verdict(lines)), []);
}

#[test]
fn a_transition_by_a_command_that_nobody_gave_is_a_phantom() {
    let phantom = after(|lines| {
        edit(lines, |what| match what {
            What::TransitionRow { request_id, .. } if request_id.as_deref() == Some("command-1") => {
                *request_id = None;
                true
            }
            _ => false,
        });
    });
    // The command was answered with it, too.
    assert_eq!(phantom, [C2NoPhantom, C3Idempotent]);
}

// --- C3 ---

#[test]
fn a_request_that_made_two_orders_is_noticed() {
    let doubled = after(|lines| {
        let row = lines.iter().find_map(|line| match &line.what {
            What::OrderRow(row) if row.order_id == "order-0" => Some(row.clone()),
            _ => None,
        });
        found(lines, What::OrderRow(OrderRow { order_id: "order-9".into(), number: 109, ..row.expect("order 0") }));
    });
    assert!(doubled.contains(&C3Idempotent), "{doubled:?}");
}

#[test]
fn a_request_that_was_answered_with_two_orders_is_noticed() {
    let doubled = after(|lines| {
        edit(lines, |what| match what {
            What::Return { answer: Some(Answer::Created { order, replayed: true }), .. } => {
                order.order_id = "order-8".into();
                true
            }
            _ => false,
        });
    });
    assert!(doubled.contains(&C3Idempotent), "{doubled:?}");
}

#[test]
fn a_request_id_that_took_another_content_is_noticed() {
    let taken = after(|lines| {
        let answer = lines.iter().find_map(|line| match &line.what {
            What::Return { answer: answer @ Some(Answer::Created { replayed: true, .. }), .. } => Some(answer.clone()),
            _ => None,
        });
        edit(lines, |what| match what {
            What::Return { code, reason: reason @ Some(_), answer: shown, .. } if *code == "INVALID_ARGUMENT" => {
                (*code, *reason, *shown) = ("OK".into(), None, answer.clone().expect("order 0"));
                true
            }
            _ => false,
        });
    });
    // What was accepted is not what is kept, either.
    assert_eq!(taken, [C1Durable, C3Idempotent]);
}

#[test]
fn a_mismatch_without_another_content_is_noticed() {
    let wrong = after(|lines| {
        edit(lines, |what| match what {
            What::Return { code, reason, answer: answer @ Some(Answer::Created { replayed: true, .. }), .. } => {
                *code = "INVALID_ARGUMENT".into();
                (*reason, *answer) = (Some("IDEMPOTENCY_MISMATCH".into()), None);
                true
            }
            _ => false,
        });
    });
    assert_eq!(wrong, [C3Idempotent]);
}

#[test]
fn a_request_id_that_is_not_remembered_is_noticed() {
    let forgotten = after(|lines| {
        drop_where(lines, |what| matches!(what, What::RequestRow { order_id, .. } if order_id == "order-2"));
    });
    assert_eq!(forgotten, [C3Idempotent]);
}

#[test]
fn a_command_that_was_applied_twice_is_noticed() {
    let twice = after(|lines| {
        edit(lines, |what| match what {
            What::TransitionRow { transition, request_id, .. }
                if transition.order_id == "order-0" && transition.version == 4 =>
            {
                *request_id = Some("command-0".into());
                true
            }
            _ => false,
        });
    });
    assert_eq!(twice, [C3Idempotent]);
}

#[test]
fn a_command_whose_answers_do_not_agree_is_noticed() {
    let torn = after(|lines| {
        let fourth = lines.iter().find_map(|line| match &line.what {
            What::TransitionRow { transition, .. } if (&*transition.order_id, transition.version) == ("order-0", 4) => {
                Some(transition.clone())
            }
            _ => None,
        });
        let answer =
            |what: &What| matches!(what, What::Return { answer: Some(Answer::Moved { replayed: true, .. }), .. });
        let place = lines.iter().position(|line| answer(&line.what)).expect("a repeated command");
        let What::Return { call, answer: Some(Answer::Moved { transition, .. }), .. } = &mut lines[place].what else {
            panic!("chosen above")
        };
        let call = *call;
        *transition = fourth.expect("order 0 is delivered");
        // Late enough to have seen it.
        for line in lines.iter_mut() {
            let of_call = matches!(&line.what, What::Invoke { call: sent, .. } | What::Return { call: sent, .. } if *sent == call);
            line.at_us += u64::from(of_call) * 2_000_000;
        }
    });
    assert_eq!(torn, [C3Idempotent]);
}

#[test]
fn an_advance_into_another_status_than_was_asked_for_is_noticed() {
    let into = |status: &str| {
        after(|lines| {
            edit(lines, |what| match what {
                What::Invoke { op: Op::Move { trigger, to_status, .. }, .. } if trigger == "advance" => {
                    *to_status = Some(status.into());
                    true
                }
                _ => false,
            });
        })
    };
    assert_eq!(into("dispatched"), []);
    assert_eq!(into("delivered"), [C3Idempotent]);
}

#[test]
fn a_repeated_command_that_is_answered_with_somebody_else_s_transition_is_noticed() {
    let foreign = after(|lines| {
        let second = lines.iter().find_map(|line| match &line.what {
            What::TransitionRow { transition, .. } if (&*transition.order_id, transition.version) == ("order-0", 2) => {
                Some(transition.clone())
            }
            _ => None,
        });
        let second = second.expect("a timer's");
        let is = |what: &What, of_replayed: bool| {
            matches!(what, What::Return { answer: Some(Answer::Moved { transition, replayed }), .. }
                if transition.order_id == "order-0" && *replayed == of_replayed)
        };
        // The first try is unknown, the second is told of the timer's transition before it.
        let place =
            |lines: &[Line], replayed| lines.iter().position(|line| is(&line.what, replayed)).expect("two tries");
        let (first, again) = (place(lines, false), place(lines, true));
        for (at, told) in [(first, None), (again, Some(Answer::Moved { transition: second, replayed: true }))] {
            let What::Return { code, answer, .. } = &mut lines[at].what else { panic!("chosen above") };
            *code = if told.is_some() { "OK" } else { "CANCELLED" }.into();
            *answer = told;
        }
    });
    assert_eq!(foreign, [C3Idempotent]);
}

/// A command that is sent when order 0 has come to its end, and what it is answered with.
fn late_command(op: impl FnOnce(String) -> Op, shown_version: i64) -> Vec<comanda_checker::Invariant> {
    repeated_command(None, op, shown_version)
}

/// The same for a command whose first try, under the same id, went out when a version of the order was shown, and was not answered.
fn repeated_command(
    first_try_at: Option<i64>,
    op: impl FnOnce(String) -> Op,
    shown_version: i64,
) -> Vec<comanda_checker::Invariant> {
    after(|lines| {
        let op = op("order-0".into());
        if let Some(version) = first_try_at {
            let shown = lines.iter().find(|line| is_shown_anywhere(&line.what, "order-0", version));
            let at_us = shown.expect("a stream shows it").at_us + 1;
            let (client, tenant, replica) = ("client".into(), TENANT.into(), "state-machine-0".into());
            let what = What::Invoke { call: 990, client, tenant, replica, op: op.clone() };
            lines.push(Line { at_us, what });
            lines.push(Line {
                at_us,
                what: What::Return { call: 990, code: "UNAVAILABLE".into(), reason: None, answer: None },
            });
            lines.sort_by_key(|line| line.at_us);
        }
        let shown = lines.iter().find_map(|line| match &line.what {
            What::TransitionRow { transition, .. }
                if (&*transition.order_id, transition.version) == ("order-0", shown_version) =>
            {
                Some(transition.clone())
            }
            _ => None,
        });
        let answer = Some(Answer::Moved { transition: shown.expect("a version of order 0"), replayed: true });
        let (client, tenant, replica) = ("client".into(), TENANT.into(), "state-machine-0".into());
        happened(lines, What::Invoke { call: 991, client, tenant, replica, op });
        happened(lines, What::Return { call: 991, code: "OK".into(), reason: None, answer });
    })
}

fn command(trigger: &str, order_id: String, request_id: Option<&str>, to_status: Option<&str>) -> Op {
    let (trigger, request_id, to_status) = (trigger.into(), request_id.map(Into::into), to_status.map(Into::into));
    Op::Move { trigger, order_id, request_id, expected_version: None, to_status }
}

#[test]
fn a_request_id_that_answers_another_command_is_noticed() {
    let other_trigger = late_command(|order| command("cancel", order, Some("command-0"), None), 3);
    assert_eq!(other_trigger, [C3Idempotent]);
    // The order is in that status, so the answer would be right under an id of its own.
    let other_target = late_command(|order| command("advance", order, Some("command-0"), Some("delivered")), 4);
    assert_eq!(other_target, [C3Idempotent]);
    let same = late_command(|order| command("advance", order, Some("command-0"), Some("dispatched")), 3);
    assert_eq!(same, []);
}

#[test]
fn an_ok_for_a_status_that_the_order_has_left_is_noticed() {
    assert_eq!(late_command(|order| command("advance", order, Some("own"), Some("preparing")), 2), [C3Idempotent]);
    assert_eq!(late_command(|order| command("advance", order, Some("own"), Some("delivered")), 4), []);
}

#[test]
fn an_answer_that_was_lost_is_given_again_after_the_order_went_on() {
    let advance = |order| command("advance", order, Some("own"), Some("preparing"));
    assert_eq!(repeated_command(Some(2), advance, 2), []);
    // When the first try went out, the order had left the status already.
    assert_eq!(repeated_command(Some(3), advance, 2), [C3Idempotent]);
}

#[test]
fn a_refused_command_that_was_applied_is_noticed() {
    let applied = after(|lines| {
        let at = lines.iter().position(|line| matches!(&line.what, What::TransitionRow { request_id: Some(_), .. }));
        let What::TransitionRow { request_id, .. } = &mut lines[at.expect("a command")].what else {
            panic!("chosen above")
        };
        *request_id = Some("late".into());
    });
    assert_eq!(applied, [C3Idempotent]);
}

#[test]
fn a_command_that_was_answered_and_is_not_in_the_history_is_noticed() {
    let lost = after(|lines| {
        edit_everywhere(lines, "order-1", 3, |transition| transition.time_us += 1_000);
        edit_step(lines, "order-1", 3, |transition| transition.time_us -= 1_000);
        drop_where(lines, |what| matches!(what, What::Record { .. } | What::Event { .. } | What::Watch { .. }));
        drop_where(lines, |what| matches!(what, What::WatchAll { .. }));
        drop_where(lines, |what| {
            matches!(what, What::Return { answer: Some(Answer::History { .. } | Answer::Order { .. }), .. })
        });
    });
    assert!(lost.contains(&C3Idempotent) && !lost.contains(&C4Chain), "{lost:?}");
}

#[test]
fn a_batch_whose_row_was_repeated_under_another_number_is_noticed() {
    let torn = after(|lines| {
        let asked = lines.iter().find_map(|line| match &line.what {
            What::Invoke { op: Op::CreateBatch { orders }, .. } => Some(orders[0].clone()),
            _ => None,
        });
        let order = lines.iter().find_map(|line| match &line.what {
            What::Return { answer: Some(Answer::Order { order }), .. } if order.order_id == "order-2" => {
                Some(order.clone())
            }
            _ => None,
        });
        let order = Order { number: 555, ..order.expect("order 2 is read") };
        let (client, replica) = ("client".into(), "ordering-0".into());
        happened(
            lines,
            What::Invoke { call: 991, client, tenant: TENANT.into(), replica, op: Op::Create(asked.expect("a batch")) },
        );
        let answer = Some(Answer::Created { order, replayed: true });
        happened(lines, What::Return { call: 991, code: "OK".into(), reason: None, answer });
    });
    assert!(torn.contains(&C3Idempotent), "{torn:?}");
}

#[test]
fn a_refused_request_that_is_remembered_is_noticed() {
    let phantom = after(|lines| {
        found(
            lines,
            What::RequestRow {
                tenant: TENANT.into(),
                request_id: "request-refused".into(),
                order_id: "order-7".into(),
            },
        );
    });
    assert_eq!(phantom, [C2NoPhantom]);
}

fn is_call_of(what: &What, customer: &str) -> bool {
    matches!(what, What::Invoke { op: Op::Create(order), .. } if order.customer_id == customer)
}

fn is_shown_anywhere(what: &What, order: &str, version: i64) -> bool {
    let What::Event { event: Event::Transition { transition }, .. } = what else { return false };
    transition.order_id == order && transition.version == version
}

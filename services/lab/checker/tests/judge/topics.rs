//! C5, C9: what the topics tell, and what their readers did with it.

use comanda_checker::{Invariant::*, history::*};

use crate::alter::{after, drop_where, edit, fault, found, is_record, repeat, verdict, violated};

fn edit_record(
    lines: &mut [Line],
    order: &str,
    of: i64,
    change: impl Fn(&mut i32, &mut i64, &mut String, &mut RecordContent),
) {
    edit(lines, |what| {
        let chosen = is_record(what, Topic::Transitions, order, of);
        if let (true, What::Record { partition, offset, key, content, .. }) = (chosen, what) {
            change(partition, offset, key, content);
        }
        chosen
    });
}

#[test]
fn a_transition_that_a_topic_never_tells_is_noticed() {
    assert_eq!(
        after(|lines| drop_where(lines, |what| is_record(what, Topic::Transitions, "order-0", 4))),
        [C5LogOrder]
    );
    let hole = after(|lines| drop_where(lines, |what| is_record(what, Topic::Transitions, "order-0", 2)));
    assert_eq!(hole, [C5LogOrder]);
    let first = after(|lines| drop_where(lines, |what| is_record(what, Topic::Transitions, "order-0", 1)));
    assert_eq!(first, [C1Durable, C5LogOrder]);
}

#[test]
fn what_a_stuck_run_never_told_and_no_pointer_is_left_for_is_noticed() {
    let stuck = |pointer: Option<(&str, i64)>, topic, version| {
        let run = after(|lines| {
            edit(lines, |what| {
                let drained = *what == What::Drained;
                if drained {
                    *what = What::Stuck { state: "unadopted 1".into() };
                }
                drained
            });
            drop_where(lines, |what| is_record(what, topic, "order-0", version));
            let row = |(service, version): (&str, i64)| What::OutboxRow {
                service: service.into(),
                order_id: "order-0".into(),
                version,
            };
            let at_us = lines.last().expect("lines").at_us;
            lines.extend(pointer.map(row).map(|what| Line { at_us, what }));
        });
        run.contains(&C5LogOrder)
    };
    assert!(stuck(None, Topic::Transitions, 4));
    assert!(!stuck(Some(("state-machine", 4)), Topic::Transitions, 4));
    assert!(stuck(Some(("state-machine", 3)), Topic::Transitions, 4));
    assert!(stuck(None, Topic::Orders, 1));
    assert!(!stuck(Some(("ordering", 1)), Topic::Orders, 1));
}

#[test]
fn transitions_in_the_wrong_order_are_noticed() {
    let swapped = after(|lines| edit_record(lines, "order-0", 3, |_, offset, _, _| *offset = 1));
    assert_eq!(swapped, [C5LogOrder]);
}

#[test]
fn an_order_in_two_partitions_is_noticed() {
    let split = after(|lines| edit_record(lines, "order-0", 4, |partition, _, _, _| *partition = 1));
    assert_eq!(split, [C5LogOrder]);
}

#[test]
fn a_record_under_another_key_is_noticed() {
    assert_eq!(after(|lines| edit_record(lines, "order-0", 4, |_, _, key, _| key.clear())), [C5LogOrder]);
}

#[test]
fn a_record_that_is_not_its_row_is_noticed() {
    let changed = after(|lines| {
        edit_record(lines, "order-0", 4, |_, _, _, content| {
            let RecordContent::Transition { transition, .. } = content else { panic!("chosen above") };
            transition.time_us += 1;
        });
    });
    assert_eq!(changed, [C5LogOrder]);
    let placed = after(|lines| {
        edit(lines, |what| match what {
            What::Record { content: RecordContent::Placed { number, .. }, .. } => {
                *number += 1000;
                true
            }
            _ => false,
        });
    });
    assert_eq!(placed, [C5LogOrder]);
}

#[test]
fn a_repeated_record_without_a_fault_is_noticed() {
    let repeated = after(|lines| {
        repeat(
            lines,
            |what| is_record(what, Topic::Transitions, "order-0", 3),
            |line| {
                let What::Record { offset, .. } = &mut line.what else { panic!("chosen above") };
                *offset += 1;
            },
        )
    });
    assert_eq!(repeated, [C5LogOrder]);
}

/// Repeats an order's record so many times.
fn repeat_placed(lines: &mut Vec<Line>, count: i64) {
    for again in 1..=count {
        repeat(
            lines,
            |what| is_record(what, Topic::Orders, "order-0", 1),
            |line| {
                let What::Record { offset, .. } = &mut line.what else { panic!("chosen above") };
                *offset += 10 * again;
            },
        );
    }
}

#[test]
fn many_repeated_records_are_noticed_even_under_faults() {
    let many = |count| {
        after(|lines| {
            fault(lines, "kill ordering", "ordering-0", 1_000_000, 2_000_000);
            repeat_placed(lines, count);
        })
    };
    assert_eq!(many(50), []);
    assert_eq!(many(51), [C5LogOrder]);
}

#[test]
fn a_new_log_that_was_never_told_everything_is_noticed() {
    let mut lines = crate::story::calm();
    fault(&mut lines, "topic deleted", "kafka", 3_000_000, 4_000_000);
    crate::alter::happened(&mut lines, What::Republished { why: "a lost log".into() });
    for line in &mut lines {
        if let What::Record { log, .. } = &mut line.what {
            *log = 2;
        }
    }
    let mut silent = lines.clone();
    drop_where(&mut silent, |what| is_record(what, Topic::Transitions, "order-1", 2));
    assert_eq!(violated(&verdict(silent)), [C5LogOrder]);
    drop_where(&mut lines, |what| is_record(what, Topic::Transitions, "order-1", 1));
    assert_eq!(violated(&verdict(lines)), [C1Durable, C5LogOrder]);
}

#[test]
fn a_log_that_is_thought_lost_and_was_not_is_noticed() {
    let thought_lost = after(|lines| {
        fault(lines, "kafka broker killed", "kafka-1", 3_000_000, 4_000_000);
        for line in lines {
            if let What::Record { log, .. } = &mut line.what {
                *log = 2;
            }
        }
    });
    assert!(thought_lost.contains(&C5LogOrder), "{thought_lost:?}");
}

#[test]
fn what_was_replayed_on_purpose_explains_no_more_than_that() {
    let repeats = |name: &str, count| {
        after(|lines| {
            fault(lines, name, "all", 1_000_000, 1_000_000);
            repeat_placed(lines, count);
        })
    };
    assert_eq!(repeats("replay of old records", 550), []);
    assert_eq!(repeats("replay of old records", 551), [C5LogOrder]);
    assert_eq!(repeats("mail server silent", 1), [C5LogOrder], "it hits no relay");
}

#[test]
fn bytes_that_nobody_planted_are_noticed() {
    let strange = after(|lines| {
        let (topic, key, content) = (Topic::Orders, "".into(), RecordContent::Unreadable { why: "cut".into() });
        found(lines, What::Record { topic, log: 1, partition: 0, offset: 99, key, tenant: None, content });
    });
    assert_eq!(strange, [C5LogOrder]);
}

// --- C9 ---

#[test]
fn a_group_that_is_behind_at_the_end_is_noticed() {
    let behind = after(|lines| {
        edit(lines, |what| match what {
            What::Lag { records, .. } => {
                *records = 3;
                true
            }
            _ => false,
        });
    });
    assert_eq!(behind, [C9Account]);
}

#[test]
fn a_good_record_that_was_a_dead_letter_is_noticed() {
    let dead_letters = after(|lines| {
        let (service, topic) = ("notification".into(), "x.comanda.order-transitions".into());
        found(lines, What::DeadLetterRow { service, topic, partition: 0, offset: 1, reason: "none".into() });
    });
    assert_eq!(dead_letters, [C9Account]);
}

#[test]
fn a_planted_record_that_was_swallowed_is_noticed() {
    let swallowed = after(|lines| {
        let (topic, key, content) = (Topic::Transitions, "garbage".into(), RecordContent::Planted);
        found(lines, What::Record { topic, log: 1, partition: 0, offset: 77, key, tenant: None, content });
    });
    assert_eq!(swallowed, [C9Account]);
}

#[test]
fn a_repair_in_a_run_without_faults_is_noticed() {
    let repaired = after(|lines| {
        let (process, name) = ("notification-0".into(), "comanda_watch_repairs_total".into());
        found(lines, What::Counter { process, name, value: 1.0 });
    });
    assert_eq!(repaired, [C9Account]);
}

//! C7: what streams of one order and of many showed.

use comanda_checker::{Invariant::*, history::*};

use crate::{
    alter::{after, drop_where, edit, fault, is_shown, repeat},
    story::{DRAINED_US, END_US},
};

/// The stream of order 0 that follows it to its end, having seen version 2.
fn second_stream(lines: &[Line]) -> u64 {
    let stream = lines.iter().find_map(|line| match &line.what {
        What::Watch { stream, order_id, after_version: 2, .. } if order_id == "order-0" => Some(*stream),
        _ => None,
    });
    stream.expect("order 0 is watched")
}

fn end_of(lines: &mut [Line], of: u64, to: &str, at_us: Option<u64>) {
    let line = lines.iter_mut().find(|line| matches!(line.what, What::StreamEnd { stream, .. } if stream == of));
    let line = line.expect("an end");
    line.at_us = at_us.unwrap_or(line.at_us);
    let What::StreamEnd { code, .. } = &mut line.what else { panic!("chosen above") };
    *code = to.into();
}

// --- one order ---

#[test]
fn a_stream_that_leaves_out_a_version_is_noticed() {
    let hole = after(|lines| {
        let stream = second_stream(lines);
        drop_where(lines, |what| is_shown(what, stream, "order-0", 3));
    });
    assert_eq!(hole, [C7Watch]);
}

#[test]
fn a_stream_that_repeats_a_version_is_noticed() {
    let again = after(|lines| {
        let stream = second_stream(lines);
        repeat(lines, |what| is_shown(what, stream, "order-0", 3), |line| line.at_us += 1);
    });
    assert_eq!(again, [C7Watch]);
}

#[test]
fn a_stream_that_shows_what_never_was_is_noticed() {
    let phantom = after(|lines| {
        let stream = second_stream(lines);
        edit(lines, |what| {
            let chosen = is_shown(what, stream, "order-0", 4);
            if let (true, What::Event { event: Event::Transition { transition }, .. }) = (chosen, what) {
                transition.to = "cancelled".into();
            }
            chosen
        });
    });
    assert_eq!(phantom, [C7Watch]);
}

#[test]
fn a_stream_that_ends_well_before_the_order_does_is_noticed() {
    let short = after(|lines| {
        let stream = second_stream(lines);
        drop_where(lines, |what| is_shown(what, stream, "order-0", 4));
    });
    assert_eq!(short, [C7Watch]);
}

#[test]
fn a_stream_after_the_end_need_not_show_it_again_and_one_before_it_must() {
    let silent_after = |version| {
        after(|lines| {
            let stream = second_stream(lines);
            drop_where(lines, |what| matches!(what, What::Event { stream: of, .. } if *of == stream));
            edit(lines, |what| match what {
                What::Watch { stream: of, after_version, .. } if *of == stream => {
                    *after_version = version;
                    true
                }
                _ => false,
            });
        })
    };
    assert_eq!(silent_after(4), []);
    assert_eq!(silent_after(3), [C7Watch]);
}

#[test]
fn a_reader_that_is_never_told_the_end_is_noticed() {
    let unseen = after(|lines| {
        let stream = second_stream(lines);
        drop_where(lines, |what| is_shown(what, stream, "order-0", 4));
        end_of(lines, stream, "CLIENT", Some(END_US));
    });
    assert_eq!(unseen, [C7Watch]);
    let left = after(|lines| {
        let stream = second_stream(lines);
        drop_where(lines, |what| is_shown(what, stream, "order-0", 4));
        end_of(lines, stream, "CLIENT", Some(DRAINED_US));
    });
    assert_eq!(left, [], "a reader that leaves has no claim");
}

#[test]
fn a_current_order_of_another_version_is_noticed() {
    let ahead = after(|lines| {
        edit(lines, |what| match what {
            What::Event { stream, event: Event::Current { order } } if *stream < 900 && order.order_id == "order-0" => {
                (order.version, order.status, order.phase) = (4, "delivered".into(), "succeeded".into());
                (order.status_time_us, order.next_time_us) = (order.create_time_us + 2_508_000, None);
                true
            }
            _ => false,
        });
    });
    assert!(ahead.contains(&C7Watch), "{ahead:?}");
}

#[test]
fn a_heartbeat_of_another_version_is_noticed() {
    let wrong = after(|lines| {
        let stream = second_stream(lines);
        let event = Event::Heartbeat { version: 3 };
        let at_us = lines.iter().find(|line| is_shown(&line.what, stream, "order-0", 4)).expect("shown").at_us;
        lines.push(Line { at_us: at_us + 1, what: What::Event { stream, event } });
    });
    assert_eq!(wrong, [C7Watch]);
}

#[test]
fn a_stream_that_is_refused_as_ahead_without_being_so_is_noticed() {
    let refused = after(|lines| {
        let stream = second_stream(lines);
        drop_where(lines, |what| matches!(what, What::Event { stream: of, .. } if *of == stream));
        end_of(lines, stream, "FAILED_PRECONDITION", None);
    });
    assert_eq!(refused, [C7Watch]);
}

// --- many orders ---

#[test]
fn a_gap_between_two_streams_of_a_chain_is_noticed() {
    let gap =
        after(|lines| drop_where(lines, |what| is_shown(what, 900, "order-3", 2) || is_shown(what, 901, "order-3", 2)));
    assert_eq!(gap, [C7Watch]);
}

#[test]
fn a_gap_right_after_everything_was_published_again_is_legal_and_a_later_one_is_not() {
    let gap = |told_us: u64| {
        after(|lines| {
            let what = What::Republished { why: "the topics were lost".into() };
            lines.insert(1, Line { at_us: told_us, what });
            drop_where(lines, |what| is_shown(what, 900, "order-3", 2) || is_shown(what, 901, "order-3", 2));
        })
    };
    let shown = |line: &Line| (900..=902).any(|stream| is_shown(&line.what, stream, "order-3", 3));
    let shown_us = crate::story::calm().into_iter().find(shown).expect("it is shown").at_us;
    assert_eq!(gap(shown_us), []);
    assert!(gap(shown_us + 1).contains(&C7Watch));
}

#[test]
fn old_records_that_come_again_may_come_in_parts_and_new_ones_may_not() {
    // Whether order-0 had been seen to end before the stream began that shows some of its versions once more.
    let parts = |versions: [i64; 2], known: bool| {
        after(|lines| {
            let shown = |version| {
                let of = |line: &&Line| (900..=901).any(|stream| is_shown(&line.what, stream, "order-0", version));
                lines.iter().find(of).expect("it is shown").what.clone()
            };
            let olds = versions.map(shown).map(|what| match what {
                What::Event { event, .. } => What::Event { stream: 902, event },
                what => what,
            });
            let complete =
                |line: &Line| matches!(line.what, What::Event { stream: 902, event: Event::SnapshotComplete });
            let at = lines.iter().position(complete).expect("a snapshot");
            let at_us = lines[at].at_us;
            lines.splice(at + 1..at + 1, olds.map(|what| Line { at_us, what }));
            fault(lines, "replay", "all", 1, at_us);
            if !known {
                drop_where(lines, |what| {
                    matches!(what, What::Event { stream, event: Event::Transition { transition } }
                    if *stream < 902 && transition.order_id == "order-0" && transition.version > 2)
                });
            }
        })
    };
    assert_eq!(parts([1, 3], true), [], "a part in between is missing");
    assert_eq!(parts([1, 2], true), [], "the last part is missing");
    assert!(parts([1, 3], false).contains(&C7Watch));
}

#[test]
fn an_order_that_a_chain_never_shows_is_noticed() {
    let unseen = after(|lines| {
        drop_where(lines, |what| {
            (1..=4).any(|version| is_shown(what, 900, "order-2", version) || is_shown(what, 901, "order-2", version))
        });
    });
    assert_eq!(unseen, [C7Watch]);
}

#[test]
fn an_end_that_a_chain_never_shows_is_noticed() {
    assert_eq!(after(|lines| drop_where(lines, |what| is_shown(what, 901, "order-2", 4))), [C7Watch]);
    assert_eq!(after(|lines| drop_where(lines, |what| is_shown(what, 902, "order-2", 4))), [C7Watch]);
}

#[test]
fn what_lies_between_two_records_that_were_shown_is_missed_even_where_the_chain_breaks_off() {
    let missed = after(|lines| {
        fault(lines, "kill", "notification-0", 2_900_000, 3_000_000);
        drop_where(lines, |what| is_shown(what, 901, "order-0", 3) || is_shown(what, 901, "order-0", 4));
        end_of(lines, 901, "OUT_OF_RANGE", Some(5_000_000));
    });
    assert_eq!(missed, [C7Watch]);
    let whole = after(|lines| {
        fault(lines, "kill", "notification-0", 2_900_000, 3_000_000);
        end_of(lines, 901, "OUT_OF_RANGE", Some(5_000_000));
    });
    assert_eq!(whole, [], "a broken chain is legal after a fault");
}

#[test]
fn an_order_that_is_missing_in_a_snapshot_is_noticed() {
    let missing = after(|lines| {
        drop_where(lines, |what| match what {
            What::Event { stream: 902, event: Event::Current { order } } => order.order_id == "order-0",
            what => is_shown(what, 902, "order-0", 3) || is_shown(what, 902, "order-0", 4),
        });
    });
    assert_eq!(missing, [C7Watch]);
    let late = after(|lines| {
        drop_where(lines, |what| match what {
            What::Event { stream: 902, event: Event::Current { order } } => order.order_id == "order-0",
            _ => false,
        });
    });
    assert_eq!(late, [C7Watch], "shown later, but not in the snapshot");
    let moved = after(|lines| {
        drop_where(lines, |what| match what {
            What::Event { stream: 902, event: Event::Current { order } } => order.order_id == "order-3",
            _ => false,
        });
    });
    assert_eq!(moved, [], "it moved while the snapshot was read, and follows with that move");
}

#[test]
fn a_repeat_or_an_expired_token_in_a_run_without_faults_is_noticed() {
    let again = after(|lines| repeat(lines, |what| is_shown(what, 901, "order-2", 4), |line| line.at_us += 1));
    assert_eq!(again, [C7Watch]);
    let expired = after(|lines| end_of(lines, 901, "OUT_OF_RANGE", Some(END_US)));
    assert_eq!(expired, [C7Watch]);
}

#[test]
fn a_transition_in_the_middle_of_a_snapshot_is_noticed() {
    let mixed = after(|lines| {
        drop_where(lines, |what| matches!(what, What::Event { stream: 902, event: Event::SnapshotComplete }));
    });
    assert_eq!(mixed, [C7Watch]);
}

//! C11, C12: how the run ended, and how its processes behaved.

use comanda_checker::{Invariant::*, history::*};

use crate::{
    alter::{after, edit, found, happened},
    story::DRAINED_US,
};

#[test]
fn a_run_that_comes_to_rest_too_late_is_noticed() {
    let late = after(|lines| {
        let What::Run(run) = &mut lines[0].what else { panic!("the first line") };
        run.drain_ms = 999;
    });
    assert_eq!(late, [C11Liveness]);
}

#[test]
fn what_is_stuck_is_noticed() {
    assert_eq!(after(|lines| happened(lines, What::Stuck { state: "outbox: 3".into() })), [C11Liveness]);
}

#[test]
fn a_pointer_that_is_left_in_an_outbox_is_noticed() {
    let left = after(|lines| {
        found(lines, What::OutboxRow { service: "ordering".into(), order_id: "order-0".into(), version: 1 });
    });
    assert_eq!(left, [C11Liveness]);
}

#[test]
fn a_replica_that_does_not_serve_is_noticed() {
    let down = after(|lines| found(lines, What::Health { replica: "ordering-1".into(), serving: false }));
    assert_eq!(down, [C11Liveness]);
}

#[test]
fn an_alarm_is_noticed() {
    let alarm =
        after(|lines| happened(lines, What::Alarm { process: "ordering-0".into(), line: "panicked at".into() }));
    assert_eq!(alarm, [C12Hygiene]);
}

#[test]
fn an_end_that_nobody_wanted_and_a_crash_that_somebody_did_are_noticed() {
    let exit = |code, signal, wanted| {
        let process = "ordering-0".into();
        after(|lines| happened(lines, What::Exited { process, pid: 9, code, signal, wanted }))
    };
    assert_eq!(exit(Some(0), None, false), [C12Hygiene]);
    assert_eq!(exit(None, Some(11), true), [C12Hygiene]);
    assert_eq!(exit(None, Some(9), true), []);
}

#[test]
fn a_process_that_is_too_large_is_noticed() {
    let large = after(|lines| {
        happened(lines, What::Sample { process: "kafka".into(), rss_bytes: 2 << 30, threads: 1, files: 1 });
    });
    assert_eq!(large, [C12Hygiene]);
}

#[test]
fn a_process_that_leaks_files_is_noticed() {
    let leak = after(|lines| {
        for second in 0..9 {
            let (process, files) = ("notification-0".into(), 30 + second * 20);
            let what = What::Sample { process, rss_bytes: 1, threads: 5, files };
            lines.push(Line { at_us: second * 1_000_000, what });
        }
    });
    // 150 at the least in the last third, 70 at the most in the first: not yet.
    assert_eq!(leak, []);
    let leak = after(|lines| {
        for second in 0..9 {
            let (process, files) = ("notification-0".into(), 30 + second * 40);
            let what = What::Sample { process, rss_bytes: 1, threads: 5, files };
            lines.push(Line { at_us: DRAINED_US - 9_000_000 + second * 1_000_000, what });
        }
    });
    assert_eq!(leak, [], "270 files after 110 are 20 short of the limit");
    let leak = after(|lines| {
        for second in 0..9 {
            let (process, files) = ("notification-0".into(), 30 + second * second * 10);
            let what = What::Sample { process, rss_bytes: 1, threads: 5, files };
            lines.push(Line { at_us: second * 1_000_000, what });
        }
    });
    assert_eq!(leak, [C12Hygiene]);
}

#[test]
fn a_code_that_no_service_may_answer_is_noticed() {
    for forbidden in ["UNKNOWN", "UNIMPLEMENTED", "INTERNAL"] {
        let answered = after(|lines| {
            edit(lines, |what| match what {
                What::Return { code, .. } if *code == "ABORTED" => {
                    *code = forbidden.into();
                    true
                }
                _ => false,
            });
        });
        assert_eq!(answered, [C12Hygiene], "{forbidden}");
    }
}

#[test]
fn a_bad_call_that_was_accepted_is_noticed() {
    let accepted = after(|lines| {
        edit(lines, |what| match what {
            What::Return { code, reason: None, .. } if *code == "INVALID_ARGUMENT" => {
                *code = "OK".into();
                true
            }
            _ => false,
        });
    });
    assert_eq!(accepted, [C12Hygiene]);
}

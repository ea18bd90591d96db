//! C13: who has what, what is asked for, and what is shown of it.

use comanda_checker::{Invariant::*, history::*};

use crate::{
    alter::{edit, fault, found, verdict, violated},
    rides::{ANA, BEN, JOBS, RIDE, rides},
    story::{EPOCH_US, STEP_US},
};

const SECOND: i64 = 1_000_000;

/// The invariants that are violated in the history of the rides after a change.
fn after(change: impl FnOnce(&mut Vec<Line>)) -> Vec<comanda_checker::Invariant> {
    let mut lines = rides();
    let before = lines.clone();
    change(&mut lines);
    assert_ne!(lines, before, "the change changes nothing");
    lines.sort_by_key(|line| line.at_us);
    violated(&verdict(lines))
}

fn row(lines: &mut [Line], id: &str, attempt: i32, mut change: impl FnMut(&mut AssignmentRow)) {
    edit(lines, |what| match what {
        What::AssignmentRow(row) if (row.order_id.as_str(), row.attempt) == (id, attempt) => {
            change(row);
            true
        }
        _ => false,
    });
}

fn event(lines: &mut [Line], id: &str, version: i64, change: impl Fn(&mut AssignmentEvent)) {
    for line in lines {
        match &mut line.what {
            What::AssignmentEventRow(event) | What::Record { content: RecordContent::Assignment { event }, .. }
                if (event.order_id.as_str(), event.version) == (id, version) =>
            {
                change(event);
            }
            _ => {}
        }
    }
}

fn jobs(lines: &mut [Line], revision: i64, change: impl Fn(&mut Vec<Job>)) {
    edit(lines, |what| match what {
        What::Event { event: Event::Jobs { revision: found, jobs }, .. } if *found == revision => {
            change(jobs);
            true
        }
        _ => false,
    });
}

fn without_reports(lines: &mut Vec<Line>) {
    lines.retain(|line| !matches!(line.what, What::ReportRow(_)));
}

#[test]
fn right_rides_pass() {
    let verdict = verdict(rides());
    assert_eq!(violated(&verdict), []);
    assert_eq!(verdict.doubts, [""; 0]);
    assert_eq!(verdict.figures.jobs, 1);
}

#[test]
fn two_open_assignments_of_an_order_are_noticed() {
    let together = after(|lines| row(lines, "ride-1", 1, |row| row.end_time_us = Some(EPOCH_US + 4_500_000)));
    assert_eq!(together, [C13Dispatch]);
    let hole = after(|lines| row(lines, "ride-1", 2, |row| row.attempt = 3));
    assert!(hole.contains(&C13Dispatch), "{hole:?}");
}

#[test]
fn a_slot_that_holds_two_orders_or_that_a_courier_does_not_have_is_noticed() {
    // Ana has the first ride from 1.25 s to 3 s.
    let both = after(|lines| row(lines, "ride-1", 1, |row| row.courier_id = ANA.into()));
    assert!(both.contains(&C13Dispatch), "{both:?}");
    let slot = after(|lines| row(lines, "ride-0", 1, |row| row.slot = 2));
    assert_eq!(slot, [C13Dispatch]);
    let nobody =
        after(|lines| lines.retain(|line| !matches!(&line.what, What::CourierRow(row) if row.courier_id == BEN)));
    assert_eq!(nobody, [C13Dispatch]);
}

#[test]
fn an_assignment_that_outlives_its_order_is_noticed() {
    let open = after(|lines| {
        row(lines, "ride-0", 1, |row| {
            (row.end_time_us, row.state, row.outcome) = (None, "active".into(), "unspecified".into());
        });
    });
    assert_eq!(open, [C13Dispatch]);
    let late = |after_s: i64| {
        after(|lines| row(lines, "ride-1", 2, |row| row.end_time_us = Some(EPOCH_US + 3_500_000 + after_s * SECOND)))
    };
    assert_eq!((late(29), late(31)), (vec![], vec![C13Dispatch]));
    let excused = after(|lines| {
        row(lines, "ride-1", 2, |row| row.end_time_us = Some(EPOCH_US + 34_600_000));
        fault(lines, "dispatch frozen", "dispatch-0", 4_000_000, 6_000_000);
    });
    assert_eq!(excused, []);
}

#[test]
fn a_job_that_does_not_know_what_became_of_its_order_is_noticed() {
    let job = |change: fn(&mut JobRow)| {
        after(|lines| {
            edit(lines, |what| match what {
                What::JobRow(row) => {
                    change(row);
                    true
                }
                _ => false,
            });
        })
    };
    assert_eq!(job(|row| row.state = 3), [C13Dispatch]);
    assert_eq!(job(|row| row.event_version = 1), [C13Dispatch]);
}

#[test]
fn a_step_that_is_taken_on_another_version_or_never_is_noticed() {
    // The state machine forgot to compare.
    let stale =
        after(|lines| event(lines, "ride-1", 3, |event| event.step.as_mut().expect("a step").expected_version = 1));
    assert_eq!(stale, [C13Dispatch]);
    let lost = after(|lines| {
        event(lines, "ride-0", 4, |event| event.step.as_mut().expect("a step").request_id = "lost".into());
        without_reports(lines);
    });
    assert!(lost.contains(&C3Idempotent), "the transition is now nobody's: {lost:?}");
    let never = after(|lines| {
        event(lines, "ride-1", 4, |event| {
            event.step = Some(Step { to: "requested".into(), expected_version: 5, request_id: "never".into() });
        });
    });
    assert_eq!(never, [C13Dispatch]);
}

#[test]
fn a_step_that_somebody_else_forestalled_is_no_violation() {
    let forestalled = after(|lines| {
        event(lines, "ride-1", 4, |event| {
            event.step = Some(Step { to: "requested".into(), expected_version: 4, request_id: "late".into() });
        });
    });
    assert_eq!(forestalled, []);
    // The courier was quick: nobody knew yet that the order had been cancelled when the first of two steps was asked for.
    let follows = after(|lines| {
        event(lines, "ride-1", 3, |event| {
            event.step = Some(Step { to: "confirmed".into(), expected_version: 4, request_id: "late".into() });
        });
        event(lines, "ride-1", 4, |event| {
            event.step = Some(Step { to: "arriving".into(), expected_version: 5, request_id: "later".into() });
        });
    });
    assert!(!follows.contains(&C13Dispatch), "{follows:?}");
}

#[test]
fn a_confirmed_order_without_its_assignment_is_noticed() {
    let gone = after(|lines| row(lines, "ride-0", 1, |row| row.courier_id = BEN.into()));
    assert!(gone.contains(&C13Dispatch), "{gone:?}");
    let later = after(|lines| row(lines, "ride-0", 1, |row| row.allot_time_us = None));
    assert_eq!(later, [C13Dispatch]);
}

#[test]
fn a_log_of_assignments_with_a_hole_another_content_or_another_key_is_noticed() {
    let is_record = |what: &What, version: i64| {
        matches!(what, What::Record { content: RecordContent::Assignment { event }, .. }
            if event.order_id == "ride-0" && event.version == version)
    };
    for version in 1..=4 {
        let missing = after(|lines| lines.retain(|line| !is_record(&line.what, version)));
        assert_eq!(missing, [C13Dispatch], "{version}");
    }
    let changed = |change: fn(&mut AssignmentEvent)| {
        after(|lines| {
            edit(lines, |what| match what {
                What::Record { content: RecordContent::Assignment { event }, .. } => {
                    change(event);
                    true
                }
                _ => false,
            });
        })
    };
    assert_eq!(changed(|event| event.courier_id = BEN.into()), [C13Dispatch]);
    assert_eq!(changed(|event| event.version = 9), [C13Dispatch]);
    let key = after(|lines| {
        edit(lines, |what| match what {
            What::Record { topic: Topic::Assignments, key, .. } => {
                *key = "another".into();
                true
            }
            _ => false,
        });
    });
    assert_eq!(key, [C13Dispatch]);
    let partition = after(|lines| {
        edit(lines, |what| match what {
            What::Record { topic: Topic::Assignments, partition, .. } => {
                *partition = 1;
                true
            }
            _ => false,
        });
    });
    assert_eq!(partition, [C13Dispatch]);
}

#[test]
fn a_job_that_is_shown_to_another_courier_unconfirmed_or_twice_is_noticed() {
    let unconfirmed = after(|lines| jobs(lines, 3, |jobs| jobs[0].confirmed = false));
    assert_eq!(unconfirmed, [C13Dispatch]);
    let other = after(|lines| jobs(lines, 3, |jobs| (jobs[0].order_id, jobs[0].attempt) = ("ride-1".into(), 1)));
    assert_eq!(other, [C13Dispatch]);
    let two = after(|lines| jobs(lines, 8, |jobs| jobs.push(Job { order_id: "ride-0".into(), ..jobs[0].clone() })));
    assert_eq!(two, [C13Dispatch]);
    let fell = after(|lines| {
        edit(lines, |what| match what {
            What::Event { stream: JOBS, event: Event::Jobs { revision, .. } } if *revision == 8 => {
                *revision = 2;
                true
            }
            _ => false,
        });
    });
    assert_eq!(fell, [C13Dispatch]);
}

#[test]
fn work_of_an_order_that_was_cancelled_before_it_was_confirmed_is_noticed() {
    let cancelled = after(|lines| {
        // The second attempt was never confirmed: the cancel came first.
        lines.retain(|line| match &line.what {
            What::TransitionRow { transition, .. }
            | What::Record { content: RecordContent::Transition { transition, .. }, .. } => {
                (transition.order_id.as_str(), transition.version) != ("ride-1", 4)
            }
            What::MailRow { order_id, version, .. } => (order_id.as_str(), *version) != ("ride-1", 5),
            _ => true,
        });
        for line in lines.iter_mut() {
            match &mut line.what {
                What::TransitionRow { transition, .. }
                | What::Record { content: RecordContent::Transition { transition, .. }, .. }
                | What::Return { answer: Some(Answer::Moved { transition, .. }), .. }
                    if (transition.order_id.as_str(), transition.version) == ("ride-1", 5) =>
                {
                    (transition.version, transition.from) = (4, "requested".into());
                    transition.from_time_us = Some(EPOCH_US + 1_850_000);
                }
                What::StateRow { order_id, version, .. } if order_id == "ride-1" => *version = 4,
                _ => {}
            }
        }
        without_reports(lines);
    });
    assert_eq!(cancelled, [C13Dispatch]);
}

#[test]
fn a_job_that_stays_on_the_list_after_its_end_is_noticed() {
    let stays = |end_us: u64| {
        after(|lines| {
            lines.retain(|line| !matches!(&line.what, What::Event { event: Event::Jobs { revision: 9, .. }, .. }));
            lines.push(Line {
                at_us: end_us,
                what: What::StreamEnd { stream: JOBS, code: "CLIENT".into(), reason: None },
            });
        })
    };
    assert_eq!((stays(19_000_000), stays(40_000_000)), (vec![], vec![C13Dispatch]));
}

#[test]
fn a_courier_that_is_shown_before_it_was_found_or_after_the_end_is_noticed() {
    let courier_at = |at_us: u64| {
        after(|lines| {
            let event = Event::Courier { attempt: 1, has_position: true };
            lines.push(Line { at_us, what: What::Event { stream: RIDE, event } });
        })
    };
    // Requested is shown at 1.203 s, confirmed at 1.303 s, completed at 3.003 s.
    assert_eq!(courier_at(1_250_000), [C13Dispatch]);
    assert_eq!(courier_at(2_200_000), []);
    assert_eq!(courier_at(3_005_000), [C13Dispatch]);
}

#[test]
fn a_courier_that_has_gone_may_be_told_at_any_time() {
    let withdrawn = after(|lines| {
        let event = Event::Courier { attempt: 0, has_position: false };
        lines.push(Line { at_us: 1_250_000, what: What::Event { stream: RIDE, event } });
    });
    assert_eq!(withdrawn, []);
}

/// The second ride is never given to Ana: it waits, from 1.85 s on, until its timer ends it after so long.
fn waits(seconds: i64, change: impl FnOnce(&mut Vec<Line>)) -> Vec<comanda_checker::Invariant> {
    after(|lines| {
        let end_us = EPOCH_US + 1_850_000 + seconds * SECOND;
        lines.retain(|line| match &line.what {
            What::TransitionRow { transition, .. }
            | What::Record { content: RecordContent::Transition { transition, .. }, .. } => {
                (transition.order_id.as_str(), transition.version) != ("ride-1", 4)
            }
            What::MailRow { order_id, version, .. } => (order_id.as_str(), *version) != ("ride-1", 5),
            What::AssignmentRow(row) => (row.order_id.as_str(), row.attempt) != ("ride-1", 2),
            What::AssignmentEventRow(event) | What::Record { content: RecordContent::Assignment { event }, .. } => {
                event.order_id != "ride-1" || event.version < 3
            }
            What::Invoke { op: Op::Move { order_id, .. }, .. } => order_id != "ride-1",
            What::Return { answer: Some(Answer::Moved { transition, .. }), .. } => transition.order_id != "ride-1",
            What::Event { event: Event::Jobs { revision, .. }, .. } => *revision < 8,
            _ => true,
        });
        for line in lines.iter_mut() {
            match &mut line.what {
                What::TransitionRow { transition, request_id: Some(request_id), .. } if request_id == "cancel-1" => {
                    *transition = no_driver(end_us);
                }
                What::Record { content: RecordContent::Transition { transition, .. }, .. }
                    if (transition.order_id.as_str(), transition.version) == ("ride-1", 5) =>
                {
                    *transition = no_driver(end_us);
                }
                What::TransitionRow { transition, .. }
                | What::Record { content: RecordContent::Transition { transition, .. }, .. }
                    if transition.order_id == "ride-1" && transition.to == "requested" =>
                {
                    transition.next_time_us = Some(EPOCH_US + 1_850_000 + STEP_US)
                        .filter(|_| transition.version == 3)
                        .or(Some(EPOCH_US + 1_400_000 + STEP_US));
                }
                What::OrderRow(row) if row.order_id == "ride-1" => row.start_time_us = None,
                What::StateRow { order_id, version, status, phase, .. } if order_id == "ride-1" => {
                    (*version, *status, *phase) = (4, "no_driver".into(), "failed".into());
                }
                What::JobRow(row) if row.order_id == "ride-1" => row.event_version = 2,
                _ => {}
            }
        }
        for line in lines.iter_mut() {
            if let What::TransitionRow { transition, request_id, .. } = &mut line.what
                && transition.to == "no_driver"
            {
                *request_id = None;
            }
        }
        without_reports(lines);
        change(lines);
    })
}

fn no_driver(time_us: i64) -> Transition {
    Transition {
        order_id: "ride-1".into(),
        version: 4,
        from: "requested".into(),
        to: "no_driver".into(),
        phase: "failed".into(),
        time_us,
        trigger: "timer".into(),
        next_time_us: None,
        from_time_us: Some(EPOCH_US + 1_850_000),
        total: crate::story::TOTAL.into(),
        item_count: 2,
    }
}

#[test]
fn an_order_that_waits_beside_a_free_courier_is_noticed() {
    // Ana is free from 3 s on; Ben gave it back and does not count.
    assert_eq!(waits(8, |_| {}), []);
    assert_eq!(waits(12, |_| {}), [C13Dispatch]);
}

#[test]
fn an_order_that_waits_while_nobody_is_free_or_while_there_are_faults_is_no_violation() {
    let offline = waits(12, |lines| {
        lines.retain(|line| {
            !matches!(&line.what, What::Invoke { op: Op::Courier { action: CourierAction::GoOnline, courier_id, .. }, .. } if courier_id == ANA)
        });
    });
    assert_eq!(offline, []);
    let killed = waits(12, |lines| fault(lines, "dispatch killed", "dispatch-0", 4_000_000, 5_000_000));
    assert_eq!(killed, []);
    let elsewhere = waits(12, |lines| fault(lines, "mail server silent", "", 4_000_000, 5_000_000));
    assert_eq!(elsewhere, [C13Dispatch]);
}

#[test]
fn what_dispatch_keeps_and_shows_names_the_tenant_of_its_order() {
    let foreign = after(|lines| row(lines, "ride-0", 1, |row| row.tenant = "acme".into()));
    assert!(foreign.contains(&C10Tenants), "{foreign:?}");
    let shown = after(|lines| {
        edit(lines, |what| match what {
            What::WatchCourier { tenant, .. } => {
                *tenant = "acme".into();
                true
            }
            _ => false,
        });
    });
    assert!(shown.contains(&C10Tenants), "{shown:?}");
}

#[test]
fn a_run_with_too_few_jobs_proves_nothing() {
    let mut lines = rides();
    let What::Run(run) = &mut lines[0].what else { panic!("the first line") };
    run.least_jobs = 2;
    assert_eq!(verdict(lines).doubts.len(), 1);
}

#[test]
fn a_pointer_that_waits_excuses_its_record() {
    let waiting = after(|lines| {
        lines.retain(|line| {
            !matches!(&line.what, What::Record { content: RecordContent::Assignment { event }, .. }
                if event.order_id == "ride-0" && event.version == 4)
        });
        found(lines, What::OutboxRow { service: "dispatch".into(), order_id: "ride-0".into(), version: 4 });
    });
    assert_eq!(waiting, [C11Liveness]);
}

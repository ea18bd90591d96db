//! Right histories pass.

use comanda_checker::{Outcome, history::*};

use crate::{
    alter::{fault, found, happened, is_record, is_shown, repeat, verdict, violated},
    story::{DRAINED_US, LAST_HEAL_US, calm},
};

#[test]
fn a_right_history_passes_and_its_figures_are_told() {
    let verdict = verdict(calm());
    assert_eq!(violated(&verdict), []);
    assert_eq!(verdict.doubts, [""; 0]);
    assert_eq!(verdict.outcome(), Outcome::Pass);
    let figures = verdict.figures;
    assert_eq!((figures.orders, figures.accepted, figures.transitions, figures.mails), (4, 4, 14, 14));
    assert_eq!((figures.unknown, figures.replayed), (2, 1));
    assert_eq!(figures.refused["INVALID_ARGUMENT"], 3);
    assert_eq!((figures.timers.count, figures.timers.p50_us, figures.timers.max_us), (6, 3_000, 5_000));
    assert_eq!(figures.goodput.iter().sum::<u32>(), 4);
    assert_eq!((figures.streams, figures.resumes), (11, 5));
}

#[test]
fn what_faults_may_do_is_no_violation() {
    let mut lines = calm();
    fault(&mut lines, "kill notification", "notification-0", 1_500_000, 2_500_000);
    fault(&mut lines, "kill broker", "kafka-1", 2_000_000, 2_400_000);
    // A record that was acked twice, and its repeats on a stream of many orders.
    repeat(
        &mut lines,
        |what| is_record(what, Topic::Transitions, "order-2", 3),
        |line| {
            let What::Record { offset, .. } = &mut line.what else { unreachable!("chosen above") };
            *offset += 7;
        },
    );
    repeat(&mut lines, |what| is_shown(what, 901, "order-2", 3), |line| line.at_us += 10);
    // A mail whose acceptance was lost with its sender.
    repeat(&mut lines, |what| matches!(what, What::Mail { .. }), |line| line.at_us += 900_000);
    // A mail that was cut off.
    repeat(
        &mut lines,
        |what| matches!(what, What::Mail { .. }),
        |line| {
            line.at_us -= 1;
            let What::Mail { reply, .. } = &mut line.what else { unreachable!("chosen above") };
            *reply = 0;
        },
    );
    let (process, pid) = ("notification-0".to_owned(), 9);
    happened(&mut lines, What::Exited { process, pid, code: None, signal: Some(9), wanted: true });
    lines.sort_by_key(|line| line.at_us);
    let verdict = verdict(lines);
    assert_eq!(violated(&verdict), []);
    assert_eq!(verdict.outcome(), Outcome::Pass);
    let figures = verdict.figures;
    assert_eq!((figures.repeated_transitions, figures.watch_repeats), (1, 1));
    assert_eq!((figures.repeated_mails, figures.ambiguous_mails), (1, 1));
    assert_eq!(figures.faults.len(), 2);
}

#[test]
fn a_lost_log_that_was_told_again_is_judged_from_version_1_on() {
    let mut lines = calm();
    fault(&mut lines, "topic deleted", "kafka", 3_000_000, 4_000_000);
    happened(&mut lines, What::Republished { why: "a lost log".into() });
    for line in &mut lines {
        if let What::Record { log, .. } = &mut line.what {
            *log = 2;
        }
    }
    // A transition that was on its way when the log was lost comes first.
    repeat(
        &mut lines,
        |what| is_record(what, Topic::Transitions, "order-0", 3),
        |line| {
            let What::Record { offset, .. } = &mut line.what else { unreachable!("chosen above") };
            *offset = 0;
        },
    );
    assert_eq!(violated(&verdict(lines)), []);
}

#[test]
fn a_planted_record_that_was_a_dead_letter_is_no_violation() {
    let mut lines = calm();
    let (topic, key, content) = (Topic::Orders, "garbage".into(), RecordContent::Planted);
    found(&mut lines, What::Record { topic, log: 1, partition: 0, offset: 77, key, tenant: None, content });
    let (service, topic, reason) = ("state_machine".into(), "x.comanda.orders".into(), "undecodable".into());
    found(&mut lines, What::DeadLetterRow { service, topic, partition: 0, offset: 77, reason });
    assert_eq!(violated(&verdict(lines)), []);
}

#[test]
fn a_run_with_too_little_in_it_proves_nothing() {
    let mut lines = calm();
    let What::Run(run) = &mut lines[0].what else { panic!("the first line") };
    (run.least_orders, run.least_faults, run.least_fault_kinds) = (5, 1, 1);
    (run.least_moves, run.least_shown) = (5, 1000);
    let verdict = verdict(lines);
    assert_eq!(verdict.outcome(), Outcome::Inconclusive);
    assert_eq!(verdict.doubts.len(), 5, "{:?}", verdict.doubts);
}

#[test]
fn a_run_in_which_a_process_answers_none_of_many_calls_proves_nothing() {
    let calls = |answered: u64| {
        let mut lines = calm();
        for call in 10_000..10_100 {
            let (client, tenant, replica) = ("reader".into(), "default".into(), "gateway-0".into());
            let op = Op::Get { order_id: "order-0".into() };
            happened(&mut lines, What::Invoke { call, client, tenant, replica, op });
            let code = if call < 10_000 + answered { "OK" } else { "UNAVAILABLE" };
            happened(&mut lines, What::Return { call, code: code.into(), reason: None, answer: None });
        }
        let verdict = verdict(lines);
        assert_eq!(violated(&verdict), []);
        verdict.doubts.len()
    };
    assert_eq!((calls(0), calls(1)), (1, 0));
}

#[test]
fn a_run_that_was_broken_off_proves_nothing() {
    for cut_us in [LAST_HEAL_US, DRAINED_US] {
        let lines = calm().into_iter().filter(|line| line.at_us < cut_us).collect();
        let verdict = verdict(lines);
        assert_eq!(violated(&verdict), []);
        assert_eq!(verdict.outcome(), Outcome::Inconclusive);
    }
}

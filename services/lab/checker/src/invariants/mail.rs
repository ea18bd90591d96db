//! C8, the mail server's side: who was written to, how often and in which order.

use std::collections::HashMap;

use crate::{
    case::{Case, Delivery, Fault, MailRow, OrderCase},
    findings::Findings,
    history::What,
};

/// What hit so shortly before or after an acceptance may have hidden it from the sender, in microseconds.
const DOUBT_US: u64 = 10_000_000;
/// By so much two lines of different conversations may be told in the wrong order, in microseconds.
const JITTER_US: u64 = 50_000;
/// A fault with one of these words does not come between a sender, its database and its mail server.
const ELSEWHERE: &[&str] = &[
    "kafka",
    "broker",
    "topic",
    "client",
    "ordering",
    "state-machine",
    "consumer group",
    "garbage",
    "replay",
    // A mail server that answers, in whatever dialect, has said what it did.
    "mail server speaks",
    "mail server refuses",
];

/// Looks at all mails that came in.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let ends: Vec<u64> = sender_ends(case);
    let mut known: HashMap<&str, (&str, Option<&str>)> = HashMap::new();
    for (order_id, order) in &case.orders {
        let email = order.row().map(|row| row.email.as_str());
        order.mails.iter().for_each(|mail| _ = known.insert(mail.message_id, (order_id, email)));
        for mail in &order.mails {
            copies(case, found, &ends, order_id, mail);
        }
        sequence(case, found, order_id, order);
    }
    for (message_id, came_in) in &case.mails {
        let Some((order_id, email)) = known.get(message_id) else {
            found.system(
                came_in.first().map(|delivery| delivery.at_us),
                format!("mail {message_id} came in, which no ledger knows"),
            );
            continue;
        };
        let Some(email) = email else { continue };
        for Delivery { at_us, recipients, .. } in came_in.iter().filter(|delivery| delivery.recipients != [*email]) {
            found.at(order_id, *at_us, format!("mail {message_id} went to {recipients:?} instead of {email:?}"));
        }
    }
}

fn accepted(case: &Case<'_>, mail: &MailRow<'_>) -> Vec<u64> {
    let came_in = case.mails.get(mail.message_id).into_iter().flatten();
    came_in.filter(|delivery| delivery.accepted()).map(|delivery| delivery.at_us).collect()
}

/// Each acceptance after the first needs something that hid the one before.
fn copies(case: &Case<'_>, found: &mut Findings<'_, '_>, ends: &[u64], order_id: &str, mail: &MailRow<'_>) {
    let accepted = accepted(case, mail);
    let mut unanswered =
        case.mails.get(mail.message_id).into_iter().flatten().filter(|delivery| delivery.unanswered()).count();
    for pair in accepted.windows(2) {
        let (before_us, again_us) = (pair[0], pair[1]);
        if hidden(case, ends, before_us, again_us) {
            continue;
        }
        if unanswered == 0 {
            let evidence =
                format!("mail {} was accepted at {before_us} us and again, and nothing hid the first", mail.message_id);
            found.at(order_id, again_us, evidence);
        }
        unanswered = unanswered.saturating_sub(1);
    }
}

fn hidden(case: &Case<'_>, ends: &[u64], before_us: u64, again_us: u64) -> bool {
    let (from_us, to_us) = (before_us.saturating_sub(DOUBT_US), again_us.min(before_us + DOUBT_US));
    let near = |fault: &Fault<'_>| !fault.tells_of(ELSEWHERE) || fault.tells_of(&["notification"]);
    case.faults_within(from_us, to_us).any(near) || ends.iter().any(|at_us| (from_us..=to_us).contains(at_us))
}

/// When a process that sends mails ended.
fn sender_ends(case: &Case<'_>) -> Vec<u64> {
    let ends = case.pick(|line| match &line.what {
        What::Exited { process, .. } if process.contains("notification") => Some(line.at_us),
        _ => None,
    });
    ends.collect()
}

/// An order's mails are accepted in the order of their versions.
fn sequence(case: &Case<'_>, found: &mut Findings<'_, '_>, order_id: &str, order: &OrderCase<'_>) {
    let mut latest: Option<(u64, i64)> = None;
    for mail in order.mails.iter().filter(|mail| mail.copy == 0) {
        let Some(&at_us) = accepted(case, mail).first() else { continue };
        if let Some((before_us, version)) = latest.filter(|(before_us, _)| at_us + JITTER_US < *before_us) {
            let evidence = format!(
                "the mail of version {} was accepted at {at_us} us, that of {version} at {before_us} us",
                mail.version
            );
            found.at(order_id, at_us, evidence);
        }
        latest = latest.max(Some((at_us, mail.version)));
    }
}

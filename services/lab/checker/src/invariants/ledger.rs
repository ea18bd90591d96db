//! C8, the ledger: every transition has its row, and the row tells the truth about the mail.

use crate::{
    case::{Case, MailRow, OrderCase},
    findings::Findings,
    history::{OrderRow, Transition},
};

/// Looks at the rows of all mails.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    if !case.run.is_some_and(|run| run.mails) {
        return;
    }
    for (order_id, order) in &case.orders {
        let Some(row) = order.row() else { continue };
        let mut problems = Vec::new();
        for step in order.steps.iter().map(|step| step.transition) {
            let of_step: Vec<_> = order.mails.iter().filter(|mail| mail.version == step.version).collect();
            one_row(&mut problems, case, step, &of_step);
            problems.extend(of_step.iter().filter_map(|mail| truth(case, row, step, mail)));
        }
        problems.extend(beyond(order));
        problems.into_iter().for_each(|problem| found.order(order_id, problem));
    }
}

fn one_row(problems: &mut Vec<String>, case: &Case<'_>, step: &Transition, mails: &[&MailRow<'_>]) {
    let rows = mails.iter().filter(|mail| mail.copy == 0).count();
    if rows > 1 || rows == 0 && case.drained() {
        problems.push(format!("version {} has {rows} rows in the mail ledger instead of one", step.version));
    }
}

/// A mail of a version that is not in the history.
fn beyond(order: &OrderCase<'_>) -> Option<String> {
    let stray = order.mails.iter().find(|mail| order.step(mail.version).is_none())?;
    Some(format!("the mail ledger has version {}, which its history does not have", stray.version))
}

/// Whether the mail ought to have been sent.
pub fn is_due(case: &Case<'_>, row: &OrderRow, step: &Transition) -> bool {
    let workflow = case.workflows.get(&(row.workflow.as_str(), row.revision));
    let told =
        workflow.is_some_and(|workflow| workflow.statuses.iter().any(|status| status.name == step.to && status.mail));
    told && !row.email.is_empty()
}

fn refused_recipients(case: &Case<'_>) -> bool {
    case.faults.iter().any(|fault| fault.tells_of(&["refuses recipients"]))
}

fn truth(case: &Case<'_>, row: &OrderRow, step: &Transition, mail: &MailRow<'_>) -> Option<String> {
    let (version, due) = (step.version, is_due(case, row, step));
    if due && mail.recipient != row.email {
        return Some(format!("the mail of version {version} goes to {:?} instead of {:?}", mail.recipient, row.email));
    }
    let came_in = case.mails.get(mail.message_id).map_or(&[][..], Vec::as_slice);
    let replied = |reply: fn(u16) -> bool| came_in.iter().any(|delivery| reply(delivery.reply));
    let problem = match mail.state {
        "suppressed" => due.then_some("suppressed, and a mail is due"),
        _ if !due => Some("in the ledger as a mail, and none is due"),
        "sent" => (!replied(|code| code == 250)).then_some("sent, but no mail server ever accepted it"),
        // Only a refusal of the recipient kills a mail; it takes a fault in which the mail server refuses recipients.
        "dead" => (!refused_recipients(case)).then_some("dead, though the mail server refused no recipient"),
        "due" | "sending" => case.drained().then_some("unfinished, though everything had come to rest"),
        _ => Some("in a state that no mail has"),
    };
    problem
        .map(|problem| format!("the mail of version {version} ({}, {} tries) is {problem}", mail.state, mail.attempts))
}

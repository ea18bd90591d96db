//! C8: the mail ledger and what the mail server had.

use comanda_checker::{Invariant::*, history::*};

use crate::alter::{after, drop_where, edit, fault, repeat};

fn is_mail(what: &What, start: &str) -> bool {
    matches!(what, What::Mail { message_id, .. } if message_id.starts_with(start))
}

fn edit_ledger(lines: &mut [Line], to: &str) {
    edit(lines, |what| match what {
        What::MailRow { state, .. } => {
            *state = to.into();
            true
        }
        _ => false,
    });
}

#[test]
fn a_mail_that_is_marked_sent_and_never_was_is_noticed() {
    assert_eq!(after(|lines| drop_where(lines, |what| is_mail(what, "<order-0.2"))), [C8Mail]);
}

#[test]
fn a_mail_that_was_only_refused_or_left_without_an_answer_and_is_marked_sent_is_noticed() {
    for answer in [451, 0] {
        let refused = after(|lines| {
            edit(lines, |what| match what {
                What::Mail { reply, .. } => {
                    *reply = answer;
                    true
                }
                _ => false,
            });
        });
        assert_eq!(refused, [C8Mail]);
    }
}

#[test]
fn a_mail_that_is_missing_in_the_ledger_is_noticed() {
    let missing = after(|lines| {
        drop_where(
            lines,
            |what| matches!(what, What::MailRow { message_id, .. } if message_id.starts_with("<order-0.2")),
        );
    });
    assert_eq!(missing, [C8Mail]);
}

#[test]
fn a_mail_that_is_unfinished_suppressed_or_dead_without_a_reason_is_noticed() {
    for state in ["due", "claimed", "sending", "suppressed", "dead"] {
        assert_eq!(after(|lines| edit_ledger(lines, state)), [C8Mail], "{state}");
    }
}

#[test]
fn a_mail_that_was_accepted_twice_without_a_reason_is_noticed() {
    let later = |line: &mut Line| line.at_us += 10_000;
    assert_eq!(after(|lines| repeat(lines, |what| is_mail(what, "<order-0.2"), later)), [C8Mail]);
    let elsewhere = after(|lines| {
        repeat(lines, |what| is_mail(what, "<order-0.2"), later);
        fault(lines, "kill broker", "kafka-1", 1_000_000, 5_000_000);
    });
    assert_eq!(elsewhere, [C8Mail], "a fault of Kafka hides no mail");
    let hidden = after(|lines| {
        repeat(lines, |what| is_mail(what, "<order-0.2"), later);
        fault(lines, "pause", "postgres", 1_000_000, 5_000_000);
    });
    assert_eq!(hidden, []);
}

#[test]
fn a_mail_to_somebody_else_is_noticed() {
    let strange = after(|lines| {
        edit(lines, |what| match what {
            What::Mail { recipients, .. } => {
                recipients.push("eve@example.com".into());
                true
            }
            _ => false,
        });
    });
    assert_eq!(strange, [C8Mail]);
}

#[test]
fn a_mail_that_no_ledger_knows_is_noticed() {
    let strange = after(|lines| {
        repeat(
            lines,
            |what| is_mail(what, "<order-0.2"),
            |line| {
                let What::Mail { message_id, .. } = &mut line.what else { panic!("chosen above") };
                *message_id = "<another@test>".into();
            },
        );
    });
    assert_eq!(strange, [C8Mail]);
}

#[test]
fn mails_in_the_wrong_order_are_noticed() {
    let swapped = after(|lines| {
        let line = lines.iter_mut().find(|line| is_mail(&line.what, "<order-0.2"));
        line.expect("a mail").at_us += 2_000_000;
    });
    assert_eq!(swapped, [C8Mail]);
}

//! What a failed step means for its mail: pure decisions, no I/O.
//!
//! In: the failure, and what the server did before. Out: an [`Outcome`]. Only what is about the recipient or the message kills a mail. What is
//! about us pauses the transport: one wrong setting must not kill a backlog.

use super::{
    blame::{Blame, blame},
    failure::{Cause, Failure, Phase},
    outcome::{Outcome, Pausing},
    reply::Reply,
};

/// After refusals of this many other recipients with one text, and no mail accepted in between, the refusal counts as one of us.
const SEVERAL: usize = 2;
/// The same if the server gives the recipient as the reason: several unknown addresses may follow each other.
const MANY: usize = 5;
/// A refusal without a reason kills at this try.
const UNCLEAR_TRIES: i32 = 3;

/// What is known beside the failure itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The number of the try.
    pub tries: i32,
    /// Whether MAIL asked for SMTPUTF8.
    pub smtputf8: bool,
    /// How many other recipients were refused with the same text since the server last took a mail.
    pub others_refused: usize,
    /// Whether the server has taken other mails since it last refused this one.
    pub others_taken: bool,
}

/// What a failure means.
pub fn verdict(failure: &Failure, facts: Facts) -> Outcome {
    let text = failure.text();
    match (&failure.cause, failure.phase) {
        (Cause::Impossible(_), _) => Outcome::Dead(text),
        (Cause::Unfit(_), _) => Outcome::Paused(Pausing::Refused, text),
        (Cause::Reply(reply), Phase::Connect | Phase::StartTls | Phase::Auth) if reply.is_permanent() => {
            Outcome::Paused(Pausing::Refused, text)
        }
        (_, Phase::Connect | Phase::StartTls | Phase::Auth) => Outcome::Paused(Pausing::Unreachable, text),
        (Cause::Network(_), Phase::Dot) => Outcome::Ambiguous(text),
        (Cause::Network(_), _) => Outcome::Later(text),
        (Cause::Reply(reply), phase) => refused(reply, blame(phase, reply, facts.smtputf8), facts),
    }
}

fn refused(reply: &Reply, blame: Blame, facts: Facts) -> Outcome {
    let (text, is_permanent) = (reply.text(), reply.is_permanent());
    match blame {
        Blame::Pace => Outcome::Paused(Pausing::Limited, text),
        // It takes the mails of others, so it is not us: this mail waits alone.
        Blame::Us if facts.others_taken => Outcome::Later(text),
        Blame::Us => Outcome::Paused(Pausing::Refused, text),
        Blame::Full => Outcome::Later(text),
        Blame::Unclear if reply.code == 421 => Outcome::Paused(Pausing::Unreachable, text),
        Blame::Recipient | Blame::Message | Blame::Unclear if !is_permanent => Outcome::Later(text),
        Blame::Recipient | Blame::Message if facts.others_refused >= MANY => Outcome::Paused(Pausing::Refused, text),
        Blame::Recipient | Blame::Message => Outcome::Dead(text),
        Blame::Unclear if facts.others_refused >= SEVERAL => Outcome::Paused(Pausing::Refused, text),
        Blame::Unclear if facts.tries >= UNCLEAR_TRIES => Outcome::Dead(text),
        Blame::Unclear => Outcome::Later(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL_ITSELF: [Phase; 3] = [Phase::Rcpt, Phase::Data, Phase::Dot];
    const BEFORE_THE_MAIL: [Phase; 3] = [Phase::Connect, Phase::StartTls, Phase::Auth];

    fn decide(phase: Phase, text: &str, facts: Facts) -> String {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let reply = Reply { code: code.parse().expect("a code"), lines: vec![rest.into()] };
        name(&verdict(&Failure { phase, cause: Cause::Reply(reply) }, facts))
    }

    fn name(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Paused(pausing, _) => format!("{pausing:?}"),
            other => format!("{other:?}").split('(').next().unwrap_or_default().to_owned(),
        }
    }

    fn facts(tries: i32, others_refused: usize, others_taken: bool) -> Facts {
        Facts { tries, others_refused, others_taken, smtputf8: false }
    }

    #[test]
    fn each_refusal_has_its_outcome() {
        let (first, row, taken) = (facts(1, 0, false), facts(1, 2, false), facts(2, 0, true));
        for (text, facts, expected) in [
            // A policy about us kills nothing, however often.
            ("554 5.7.1 Helo command rejected: need a full name", first, "Refused"),
            ("450 4.7.1 Client host rejected", facts(9, 0, false), "Refused"),
            ("550 5.7.1 Relay access denied", facts(9, 7, false), "Refused"),
            // Unless the server takes the mails of others.
            ("550 5.7.1 Relay access denied", taken, "Later"),
            // The pace never kills and uses up no try.
            ("550 5.4.5 Daily sending quota exceeded", taken, "Limited"),
            ("550 5.4.5 Daily sending quota exceeded", facts(9, 9, false), "Limited"),
            // The recipient.
            ("550 5.1.1 no such user", first, "Dead"),
            ("550 5.1.1 no such user", row, "Dead"),
            ("550 5.1.1 no such user", facts(1, 5, false), "Refused"),
            ("450 4.1.1 no such user", first, "Later"),
            ("552 5.2.2 mailbox full", first, "Later"),
            // This message.
            ("552 5.3.4 too big", first, "Dead"),
            // No reason given: never at the first try, and not at all if others are refused alike.
            ("550 Rejected", first, "Later"),
            ("550 Rejected", facts(3, 1, false), "Dead"),
            ("550 Rejected", facts(3, 2, false), "Refused"),
            ("451 4.3.0 later", facts(3, 9, false), "Later"),
            ("421 4.3.2 closing", first, "Unreachable"),
        ] {
            for phase in MAIL_ITSELF {
                assert_eq!(decide(phase, text, facts), expected, "{phase:?} {text} {facts:?}");
            }
        }
    }

    #[test]
    fn a_refusal_before_the_mail_pauses_the_transport() {
        for phase in BEFORE_THE_MAIL {
            assert_eq!(decide(phase, "535 5.7.8 wrong password", Facts::default()), "Refused");
            assert_eq!(decide(phase, "550 5.1.1 no such user", Facts::default()), "Refused");
            assert_eq!(decide(phase, "421 4.3.2 busy", Facts::default()), "Unreachable");
            let silence = Failure::network(phase, "silence");
            assert_eq!(name(&verdict(&silence, Facts::default())), "Unreachable");
            let unfit = Failure { phase, cause: Cause::Unfit("no STARTTLS".into()) };
            assert_eq!(name(&verdict(&unfit, Facts::default())), "Refused");
        }
    }

    #[test]
    fn only_silence_after_the_message_is_ambiguous() {
        for (phase, expected) in
            [(Phase::Mail, "Later"), (Phase::Rcpt, "Later"), (Phase::Data, "Later"), (Phase::Dot, "Ambiguous")]
        {
            assert_eq!(name(&verdict(&Failure::network(phase, "silence"), Facts::default())), expected);
        }
    }

    #[test]
    fn an_extension_that_is_refused_at_mail_is_the_fault_of_the_mail_that_needs_it() {
        let needs = Facts { smtputf8: true, ..facts(1, 0, false) };
        assert_eq!(decide(Phase::Mail, "555 5.5.4 Unsupported option: SMTPUTF8", needs), "Dead");
        assert_eq!(decide(Phase::Mail, "555 5.5.4 Unsupported option: SMTPUTF8", facts(1, 0, false)), "Refused");
        assert_eq!(decide(Phase::Mail, "550 sender rejected", needs), "Refused");
        let lacking = Failure { phase: Phase::Mail, cause: Cause::Impossible("no SMTPUTF8".into()) };
        assert_eq!(name(&verdict(&lacking, Facts::default())), "Dead");
    }
}

//! How the trial's mail server treats its clients. Pure.

use comanda_lab_smtp::{Action, Dialect, Phase};

/// The phases that a mode may be about, in the order of a conversation.
pub const PHASES: [Phase; 6] = [Phase::Greeting, Phase::Hello, Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot];

/// How a server treats its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Accepts every message.
    #[default]
    Accept,
    /// Puts clients off in this phase.
    Refuse4xx(Phase),
    /// Refuses them for good in this phase.
    Refuse5xx(Phase),
    /// Refuses every mail in this phase with a text that is about the client or its pace, not about the recipient.
    Policy(Phase, &'static str),
    /// Accepts every message and writes its replies in another dialect.
    Speak(Dialect),
    /// Answers nothing in this phase, but keeps the connection until its mode is set again.
    Silence(Phase),
    /// Closes the connection instead of answering in this phase.
    Cut(Phase),
    /// Closes the connection in the middle of the message: it does not count as sent.
    CutBeforeDot,
    /// Closes the connection after it has read the final dot: the client cannot know what became of the message.
    CutAfterDot,
    /// Accepts the message, says so, and closes the connection.
    CutAfterReply,
    /// Treats each step in a way of its own: mostly consents, and now and then does one of the above but a refusal for good.
    Mixed,
}

/// The share of the steps of a mixed mode that are not consented to.
const TROUBLE: f64 = 0.05;

const LATER: &str = "451 4.3.0 not now";
/// Kills a mail: it is about the recipient.
const NEVER: &str = "550 5.1.1 no such user";

/// What mail servers say of a client that may not send, each in the phase in which such servers say it.
pub const REFUSALS_OF_US: [(Phase, &str); 6] = [
    (Phase::Mail, "553 5.7.1 Sender address rejected: not logged in"),
    (Phase::Rcpt, "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied"),
    (Phase::Rcpt, "504 5.5.2 <web-1>: Helo command rejected: need fully-qualified hostname"),
    (Phase::Rcpt, "550 5.7.1 Relay access denied"),
    (Phase::Dot, "550 5.7.1 Sender address is not verified"),
    (Phase::Dot, "554 Message rejected: Email address is not verified."),
];
/// What mail servers say of a client that has sent too much.
pub const REFUSALS_OF_THE_PACE: [(Phase, &str); 3] = [
    (Phase::Mail, "550 5.7.1 Rate limit reached, try again later"),
    (Phase::Rcpt, "550 5.4.5 Daily user sending limit exceeded"),
    (Phase::Dot, "552 5.7.0 Daily sending quota exceeded"),
];

impl Mode {
    /// What to do in a phase. `chance`, from 0 up to 1, is new for each.
    pub fn action(self, phase: Phase, chance: f64) -> Action {
        match self {
            Self::Refuse4xx(at) if at == phase => Action::reply(LATER),
            Self::Refuse5xx(at) if at == phase => Action::reply(NEVER),
            Self::Policy(at, text) if at == phase => Action::reply(text),
            Self::Silence(at) if at == phase => Action::Silence,
            Self::Cut(at) if at == phase => Action::Cut,
            Self::CutAfterDot if phase == Phase::Dot => Action::Cut,
            Self::CutAfterReply if phase == Phase::Dot => Action::ConsentAndCut,
            Self::Mixed => mixed(chance),
            _ => Action::Consent,
        }
    }

    /// How replies are written.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Speak(dialect) => dialect,
            _ => Dialect::Standard,
        }
    }

    /// Whether to close the connection in the middle of a message.
    pub fn cuts_message(self, chance: f64) -> bool {
        self == Self::CutBeforeDot || self == Self::Mixed && chance < TROUBLE
    }
}

fn mixed(chance: f64) -> Action {
    let troubles = [Action::reply(LATER), Action::Cut, Action::Silence, Action::ConsentAndCut];
    let trouble = (chance / TROUBLE * troubles.len() as f64) as usize;
    troubles.get(trouble).cloned().unwrap_or(Action::Consent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_disturbs_its_own_phase_alone() {
        for at in PHASES {
            for phase in PHASES {
                let expected = if phase == at { Action::Silence } else { Action::Consent };
                assert_eq!(Mode::Silence(at).action(phase, 0.0), expected);
            }
        }
        assert_eq!(Mode::CutAfterDot.action(Phase::Dot, 0.0), Action::Cut);
        assert_eq!(Mode::CutAfterDot.action(Phase::Data, 0.0), Action::Consent);
    }

    #[test]
    fn a_mixed_mode_mostly_consents_and_never_refuses_for_good() {
        let actions: Vec<_> = (0..1000).map(|n| Mode::Mixed.action(Phase::Dot, f64::from(n) / 1000.0)).collect();
        let consents = actions.iter().filter(|action| **action == Action::Consent).count();
        assert_eq!(consents, 950);
        for trouble in [Action::reply(LATER), Action::Cut, Action::Silence, Action::ConsentAndCut] {
            assert!(actions.contains(&trouble), "{trouble:?}");
        }
        assert!(!actions.contains(&Action::reply(NEVER)));
    }
}

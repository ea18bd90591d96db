//! Whom a refusal is about: pure, no I/O.
//!
//! In: the phase, the code, the enhanced status code and the text. Out: whether the server objects to us, to the pace, to the recipient or to
//! the message. Servers tell what they think of the client as late as at RCPT or after the message, and often with a code that says little
//! (550, 554), so the text counts as well.

mod words;

use self::words::{FULL, GREYLIST, MAILBOX, MESSAGE, OUTGOING, PACE, RECIPIENT, SENDER, SIZE, US, UTF8};
use super::{failure::Phase, reply::Reply};

/// Whom a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Us: our address, name, login, sender, or what we may send at all. Somebody must change something.
    Us,
    /// How much or how fast we send. It passes.
    Pace,
    /// This recipient.
    Recipient,
    /// This recipient's mailbox is full. It passes.
    Full,
    /// This message.
    Message,
    /// It does not say.
    Unclear,
}

use Blame::{Full, Message, Pace, Recipient, Unclear, Us};

/// Whom a refusal is about. `smtputf8`: whether MAIL asked for that extension.
pub fn blame(phase: Phase, reply: &Reply, smtputf8: bool) -> Blame {
    let text = Text::new(reply);
    if text.has(&GREYLIST) && !reply.is_permanent() {
        return Unclear;
    }
    if phase == Phase::Mail {
        return at_mail(reply, &text, smtputf8);
    }
    let said = match text.has(&SENDER) {
        true if text.has(&PACE) => Some(Pace),
        true => Some(Us),
        false => by_enhanced_code(reply),
    };
    let is_full = phase == Phase::Rcpt && reply.code == 552 && text.is_full();
    let blame = said.or(is_full.then_some(Full)).or_else(|| text.blame()).unwrap_or_else(|| by_code(reply));
    match blame {
        // Before the message was sent the server cannot mean its content.
        Message
            if phase == Phase::Rcpt && !text.has(&SIZE) && reply.enhanced().is_none_or(|(subject, _)| subject == 7) =>
        {
            Us
        }
        blame => blame,
    }
}

/// MAIL names the sender alone, so its refusal is about us, unless it is about a parameter that this mail needs.
fn at_mail(reply: &Reply, text: &Text, smtputf8: bool) -> Blame {
    let is_parameter = matches!(reply.code, 501 | 504 | 555) || matches!(reply.enhanced(), Some((5, 4) | (6, 7..=10)));
    match reply.enhanced() {
        _ if smtputf8 && !text.has(&SENDER) && (is_parameter || text.has(&UTF8)) => Message,
        Some((3 | 2, 4 | 3)) => Message,
        _ if reply.code == 552 && text.has(&SIZE) => Message,
        _ if text.has(&PACE) => Pace,
        _ if reply.is_permanent() || text.has(&SENDER) || text.has(&US) => Us,
        _ => Unclear,
    }
}

/// RFC 3463 and its registry (<https://www.iana.org/assignments/smtp-enhanced-status-codes>). `None` where the text must tell.
fn by_enhanced_code(reply: &Reply) -> Option<Blame> {
    match reply.enhanced()? {
        (1, 1..=6 | 9 | 10) | (2, 1) | (7, 2 | 17 | 18) => Some(Recipient),
        (2, 2) => Some(Full),
        (2, 3) | (3, 4) | (6, _) => Some(Message),
        (4, 5) | (7, 28) => Some(Pace),
        (1, 7 | 8) | (7, 8..=16 | 20..=27 | 29 | 30) => Some(Us),
        // A server that is closing says the same.
        (3, 2) if reply.is_permanent() => Some(Us),
        // The recipient's domain cannot be reached, for good.
        (4, 1 | 4) if reply.is_permanent() => Some(Recipient),
        _ => None,
    }
}

/// The codes of RFC 5321, 4954 and 7504 that say more than "no".
fn by_code(reply: &Reply) -> Blame {
    match (reply.code, reply.enhanced()) {
        (551 | 556, _) => Recipient,
        (500..=504 | 523 | 530 | 534 | 535 | 538 | 555, _) => Us,
        (500.., Some((7, _))) => Us,
        _ => Unclear,
    }
}

/// The text of a reply as words, with a space around each.
struct Text(String);

impl Text {
    fn new(reply: &Reply) -> Self {
        let lower = reply.lines.join(" ").to_lowercase();
        let words: Vec<_> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        Self(format!(" {} ", words.join(" ")))
    }

    /// Whether one of the phrases is there, word by word; one that ends in `*` also matches longer words.
    fn has(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| match phrase.strip_suffix('*') {
            Some(start) => self.0.contains(&format!(" {start}")),
            None => self.0.contains(&format!(" {phrase} ")),
        })
    }

    /// Something is full, and not what we may send.
    fn is_full(&self) -> bool {
        self.has(&FULL) && !self.has(&OUTGOING)
    }

    /// What the words say; `None` where they say nothing.
    fn blame(&self) -> Option<Blame> {
        let order: [(Blame, &[&str]); 4] = [(Pace, &PACE), (Recipient, &RECIPIENT), (Us, &US), (Message, &MESSAGE)];
        if self.has(&MAILBOX) && self.is_full() {
            return Some(Full);
        }
        let said = order.iter().find(|(_, phrases)| self.has(phrases)).map(|(blame, _)| *blame);
        said.or_else(|| self.has(&SIZE).then_some(Message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        let (code, text) = text.split_once(' ').unwrap_or((text, ""));
        Reply { code: code.parse().expect("a code"), lines: vec![text.into()] }
    }

    #[test]
    fn what_a_server_says_at_rcpt() {
        for (text, expected) in [
            // The client, its name, its address.
            ("504 5.5.2 <cocina-2>: Helo command rejected: need fully-qualified hostname", Us),
            ("450 4.7.1 Client host rejected: cannot find your hostname, [10.0.0.7]", Us),
            ("550 5.7.1 Client host [10.0.0.7] blocked using zen.spamhaus.org", Us),
            ("554 5.7.1 Service unavailable; listed by an RBL", Us),
            ("550 5.7.25 The IP address sending this message does not have a PTR record", Us),
            ("554 Your IP is on our blacklist", Us),
            ("521 5.2.1 Your server is not welcome", Us),
            ("550 5.7.1 Reverse DNS of 10.0.0.7 does not exist", Us),
            ("554 No PTR record found", Us),
            ("550 SPF check: no such domain", Us),
            // The sender.
            ("550 5.1.8 <pedidos@x.example>: Sender address rejected: Domain not found", Us),
            ("550 5.1.1 <pedidos@x.example>: Sender address rejected: User unknown", Us),
            ("550 5.7.60 client does not have permissions to send as this sender", Us),
            ("553 sender verify failed", Us),
            // Relaying and logging in.
            ("554 5.7.1 <(recipient)>: Relay access denied", Us),
            ("550 relaying denied", Us),
            ("553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", Us),
            ("530 5.7.0 Must issue a STARTTLS command first", Us),
            ("530 Authentication required", Us),
            ("550 5.7.1 rejected", Us),
            ("550 rejected because of our policy", Us),
            ("503 5.5.1 bad sequence", Us),
            // The pace.
            ("550 5.4.5 Daily sending quota exceeded", Pace),
            ("550 5.7.1 Daily quota exceeded", Pace),
            ("452 4.5.3 too many messages in this session", Pace),
            ("450 4.7.1 rate limit exceeded, try later", Pace),
            ("554 You exceeded your hourly limit", Pace),
            // The recipient.
            ("550 5.1.1 (recipient): Recipient address rejected: User unknown in relay recipient table", Recipient),
            ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", Recipient),
            ("550 5.1.2 Host unknown", Recipient),
            ("550 5.1.6 moved", Recipient),
            ("550 5.2.1 The email account that you tried to reach is disabled", Recipient),
            ("550 No such user here", Recipient),
            ("554 delivery error: dd This user doesn't have an account", Recipient),
            ("551 not local", Recipient),
            ("550 5.4.1 (recipient): Recipient address rejected: Access denied", Recipient),
            ("550 5.4.4 unable to route: host not found", Recipient),
            ("556 no mail here", Recipient),
            ("552 5.2.2 mailbox full", Full),
            ("550 5.2.2 over quota", Full),
            ("552 Mailbox quota exceeded", Full),
            ("552 Quota exceeded", Full),
            ("552 Mailbox size limit exceeded", Full),
            ("550 Your account: daily quota exceeded", Pace),
            ("550 Account hourly limit exceeded", Pace),
            ("552 Daily sending quota exceeded", Pace),
            ("452 The recipient's inbox is out of storage", Full),
            // This message.
            ("552 5.3.4 Message size exceeds fixed limit", Message),
            ("553 5.6.7 non-ASCII address not permitted", Message),
            // Nothing to go by.
            ("550", Unclear),
            ("550 Rejected", Unclear),
            ("554 5.0.0 never", Unclear),
            ("450 4.2.0 Greylisted, come back later", Unclear),
            ("451 4.7.1 Greylisting in action: sender address is new", Unclear),
            ("451 4.3.0 local error", Unclear),
        ] {
            assert_eq!(blame(Phase::Rcpt, &reply(text), false), expected, "{text}");
        }
    }

    #[test]
    fn what_a_server_says_after_the_message() {
        for (text, expected) in [
            ("554 Message rejected: Email address is not verified: pedidos@x.example", Us),
            ("550 5.7.26 Unauthenticated email from x.example is not accepted", Us),
            ("550 5.7.1 This message fails our DMARC policy", Us),
            ("550 5.4.5 Daily user sending quota exceeded", Pace),
            ("552 5.3.4 too big", Message),
            ("552 message size too large", Message),
            ("554 5.6.0 bad header", Message),
            ("554 virus found", Message),
            ("554 this looks like spam", Message),
            ("550 5.1.1 no such user", Recipient),
            ("554 no thanks", Unclear),
            ("554 5.0.0 never", Unclear),
            ("451 4.3.0 queue file write error", Unclear),
        ] {
            assert_eq!(blame(Phase::Dot, &reply(text), false), expected, "{text}");
        }
    }

    #[test]
    fn what_a_server_says_at_mail() {
        for (text, smtputf8, expected) in [
            ("555 5.5.4 Unsupported option: SMTPUTF8", true, Message),
            ("501 syntax error in parameters", true, Message),
            ("550 5.6.7 address not supported", true, Message),
            ("550 SMTPUTF8 is off", true, Message),
            ("550 5.1.8 sender domain not found", true, Us),
            ("550 not from there", true, Us),
            ("555 5.5.4 Unsupported option", false, Us),
            ("550 not from there", false, Us),
            ("552 5.3.4 message size exceeds the limit", false, Message),
            ("550 5.4.5 sending limit reached", false, Pace),
            ("421 4.7.0 too many connections", false, Pace),
            ("451 4.3.0 later", false, Unclear),
        ] {
            assert_eq!(blame(Phase::Mail, &reply(text), smtputf8), expected, "{text}");
        }
    }
}

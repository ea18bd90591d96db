//! What the mail server did lately, over all connections of a process: which recipients it refused with which text, and whether it took
//! mails in between. It shows whether a refusal is about one mail or about us. Bounded, and forgotten when the process ends.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::row::Key;

/// How many refusals are remembered.
const MOST: usize = 256;

/// The recent refusals.
#[derive(Debug, Default)]
pub struct History {
    recent: Mutex<Recent>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Recent {
    /// How many mails were taken.
    taken: u64,
    refusals: VecDeque<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    mail: Key,
    /// Hashes, so that no address stays in memory.
    recipient: u64,
    text: u64,
    /// How many mails had been taken before.
    taken: u64,
}

impl History {
    /// The server has taken a mail.
    pub fn taken(&self) {
        self.recent().taken += 1;
    }

    /// Notes a refusal. Returns how many other recipients were refused with the same text since a mail was last taken, and whether mails
    /// were taken since this one was last refused.
    pub fn refused(&self, mail: Key, recipient: &str, text: &str) -> (usize, bool) {
        let (recipient, text) = (self.hasher.hash_one(recipient), self.hasher.hash_one(essence(text)));
        let mut recent = self.recent();
        let taken = recent.taken;
        let in_a_row = recent.refusals.iter().filter(|other| other.taken == taken && other.text == text);
        let others: HashSet<_> = in_a_row.map(|other| other.recipient).filter(|other| *other != recipient).collect();
        let (others, last) = (others.len(), recent.refusals.iter().rfind(|refusal| refusal.mail == mail));
        let others_taken = last.is_some_and(|refusal| refusal.taken < taken);
        recent.refusals.push_back(Refusal { mail, recipient, text, taken });
        if recent.refusals.len() > MOST {
            recent.refusals.pop_front();
        }
        (others, others_taken)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text without what differs from reply to reply: servers add numbers of sessions and times.
fn essence(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).enumerate();
    let kept = words.filter(|(index, word)| *index == 0 || !word.chars().any(|c| c.is_ascii_digit()));
    kept.map(|(_, word)| word.to_lowercase()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(order: u128) -> Key {
        Key { order_id: Uuid::from_u128(order), version: 1, copy: 0 }
    }

    #[test]
    fn other_recipients_with_the_same_text_count_until_a_mail_is_taken() {
        let history = History::default();
        assert_eq!(history.refused(key(1), "a@x.cl", "550 no (session 1a2b)").0, 0);
        assert_eq!(history.refused(key(2), "a@x.cl", "550 no (session 1a2c)").0, 0, "the same recipient");
        assert_eq!(history.refused(key(3), "b@x.cl", "550 no (session 1a2d)").0, 1);
        assert_eq!(history.refused(key(4), "c@x.cl", "554 no (session 1a2d)").0, 0, "another code");
        assert_eq!(history.refused(key(5), "c@x.cl", "550 no").0, 0, "another text");
        assert_eq!(history.refused(key(6), "c@x.cl", "550 no (session 9)").0, 2);
        history.taken();
        assert_eq!(history.refused(key(7), "d@x.cl", "550 no (session 9)").0, 0);
    }

    #[test]
    fn a_mail_that_is_refused_while_others_are_taken_is_known() {
        let history = History::default();
        assert!(!history.refused(key(1), "a@x.cl", "550 no").1);
        assert!(!history.refused(key(1), "a@x.cl", "550 no").1);
        history.taken();
        assert!(history.refused(key(1), "a@x.cl", "550 other").1);
        assert!(!history.refused(key(2), "b@x.cl", "550 no").1);
    }

    #[test]
    fn memory_is_bounded() {
        let history = History::default();
        (0..5000).for_each(|order| _ = history.refused(key(order), &order.to_string(), "550 no"));
        assert_eq!(history.recent().refusals.len(), MOST);
    }
}

//! How much of each claim is still to be concluded: pure.

use std::collections::HashMap;

use super::row::{Change, Claimed};

/// The claims of this process, each with how many of its mails have no written result yet.
#[derive(Debug, Default)]
pub struct Claims(HashMap<i64, usize>);

impl Claims {
    /// Adds mails that were taken when they were entered.
    pub fn add(&mut self, mails: &[Claimed]) {
        mails.iter().filter_map(|mail| mail.claim).for_each(|claim| *self.0.entry(claim).or_default() += 1);
    }

    /// The claims of which these results are the last ones.
    pub fn ended_by(&self, changes: &[Change]) -> Vec<i64> {
        let ended = count(changes).into_iter().filter(|(claim, count)| self.0.get(claim) == Some(count));
        ended.map(|(claim, _)| claim).collect()
    }

    /// Results were written.
    pub fn written(&mut self, changes: &[Change]) {
        for (claim, count) in count(changes) {
            if let Some(left) = self.0.get_mut(&claim) {
                *left = left.saturating_sub(count);
            }
        }
        self.0.retain(|_, left| *left > 0);
    }

    /// The owner has ended: what is left is given back by its claims in the database.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn count(changes: &[Change]) -> HashMap<i64, usize> {
    let mut counts = HashMap::new();
    changes.iter().filter_map(|change| change.claim).for_each(|claim| *counts.entry(claim).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::{
        super::outcome::{self, Outcome, Terms},
        *,
    };
    use crate::mail::compose::tests::mail;

    fn claimed(claim: Option<i64>) -> Claimed {
        Claimed { claim, ..mail(&["Mole"], "", "ana@example.com", "es") }
    }

    fn changes(claims: &[Option<i64>]) -> Vec<Change> {
        let schedule = "1m".parse().expect("a schedule");
        let terms = Terms { owner: Uuid::nil(), schedule: &schedule, chance: 0.0, pause: Duration::ZERO };
        claims.iter().map(|claim| outcome::change(&claimed(*claim), &Outcome::GivenBack, &terms)).collect()
    }

    #[test]
    fn a_claim_ends_with_its_last_result_and_not_before_it_is_written() {
        let mut claims = Claims::default();
        claims.add(&[claimed(Some(7)), claimed(Some(7)), claimed(Some(7)), claimed(Some(8)), claimed(None)]);
        let first = changes(&[Some(7), Some(8), None, Some(7)]);
        assert_eq!(claims.ended_by(&first), [8]);
        assert_eq!(claims.ended_by(&changes(&[Some(7)])), [] as [i64; 0], "nothing was written yet");
        claims.written(&first);
        assert_eq!(claims.ended_by(&changes(&[Some(7)])), [7]);
        assert_eq!(claims.ended_by(&changes(&[Some(8)])), [] as [i64; 0], "it has ended");
        claims.clear();
        assert_eq!(claims.ended_by(&changes(&[Some(7)])), [] as [i64; 0], "it belonged to another owner");
    }
}

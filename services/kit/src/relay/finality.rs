//! Up to which number the rows of an outbox are final: each is visible by now, or was never committed.
//!
//! A row gets its number before it is committed, so a row may become visible in front of one that was read before. Who goes past rows
//! must know that no such row can come any more. Numbers up to N are final once every transaction has ended that was running after N was
//! drawn: a transaction that drew one of them had changed rows before, so it already had its transaction id.

use sqlx::FromRow;

/// What the database says, in one statement. `drawn` is read after the snapshot was taken.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct Horizon {
    /// The last number that was drawn.
    pub drawn: i64,
    /// The id of the oldest transaction that runs.
    pub oldest_running: i64,
    /// The id that the next transaction gets: all that run have a lower one.
    pub next_id: i64,
}

/// How far numbers are final.
#[derive(Debug, Default)]
pub struct Finality {
    upto: i64,
    /// The number that the last horizon said.
    drawn: Option<i64>,
    /// The number that is final when no transaction with a lower id runs.
    pending: Option<(i64, i64)>,
}

impl Finality {
    /// The highest number that is final, as it and all lower ones were when the last horizon was asked for.
    pub fn upto(&self) -> i64 {
        self.upto
    }

    /// Learns from a horizon. False if transactions still run that may hold rows back.
    pub fn learn(&mut self, horizon: Horizon) -> bool {
        if let Some((drawn, next_id)) = self.pending {
            if horizon.oldest_running < next_id {
                return false;
            }
            self.upto = drawn;
        }
        // The number must be older than the snapshot, so it is that of the horizon before.
        self.pending = self.drawn.map(|drawn| (drawn, horizon.next_id));
        self.drawn = Some(horizon.drawn);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_final_when_all_have_ended_that_ran_after_it_was_drawn() {
        let mut finality = Finality::default();
        let mut learn = |drawn, oldest_running, next_id| {
            let learned = finality.learn(Horizon { drawn, oldest_running, next_id });
            (learned, finality.upto())
        };
        assert_eq!(learn(10, 100, 105), (true, 0));
        assert_eq!(learn(12, 100, 107), (true, 0));
        assert_eq!(learn(15, 106, 110), (false, 0), "106 runs, and may have drawn 9");
        assert_eq!(learn(17, 107, 112), (true, 10), "not 12: 107 and later ones may hold it");
        assert_eq!(learn(19, 111, 115), (false, 10));
        assert_eq!(learn(21, 112, 116), (true, 12));
        assert_eq!(learn(30, 120, 120), (true, 17));
    }
}

//! A batch with a record that can never be applied is narrowed down to it.

use async_trait::async_trait;

use crate::{kafka::Record, postgres::StoreError};

/// Where records go.
#[async_trait]
pub trait Sink: Sync {
    /// Commits the effect of records.
    async fn apply(&self, records: &[Record]) -> Result<(), StoreError>;

    /// Keeps a record that can never be applied as a dead letter.
    async fn store_dead_letter(&self, record: &Record, reason: &str) -> Result<(), StoreError>;
}

/// Applies the parts of a batch that wait, the last of them first. A part with a record that can never be applied is halved until that record
/// stands alone; it becomes a dead letter. So the other records are not applied one by one, which matters when a log with several such
/// records is read from its beginning. Fails only if a retry may help; what then waits is what is still to be done.
pub async fn apply_or_set_aside(sink: &impl Sink, waiting: &mut Vec<&[Record]>) -> Result<(), StoreError> {
    while let Some(part) = waiting.pop() {
        let done = match (sink.apply(part).await, part) {
            (Err(error), [record]) if !error.is_transient() => sink.store_dead_letter(record, &error.to_string()).await,
            (Err(error), _) if !error.is_transient() => {
                let (first, second) = part.split_at(part.len() / 2);
                waiting.extend([second, first]);
                continue;
            }
            (result, _) => result,
        };
        if done.is_err() {
            waiting.push(part);
            return done;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn batch() -> Vec<Record> {
        let record = |offset| Record { topic: "t".into(), offset, ..Record::default() };
        (0..500).map(record).collect()
    }

    /// Two records are bad, and every `away_each`-th call finds the database down.
    struct Fake {
        away_each: usize,
        seen: Mutex<Seen>,
    }

    #[derive(Debug, Default)]
    struct Seen {
        calls: usize,
        applied: Vec<i64>,
        dead_letters: Vec<i64>,
    }

    const BAD: [i64; 2] = [17, 333];

    #[async_trait]
    impl Sink for Fake {
        async fn apply(&self, records: &[Record]) -> Result<(), StoreError> {
            let mut seen = self.seen.lock().expect("no panic");
            seen.calls += 1;
            if seen.calls.is_multiple_of(self.away_each) {
                return Err(StoreError::Unreachable("away".into()));
            }
            if records.iter().any(|record| BAD.contains(&record.offset)) {
                return Err(StoreError::Unreadable("bad".into()));
            }
            seen.applied.extend(records.iter().map(|record| record.offset));
            Ok(())
        }

        async fn store_dead_letter(&self, record: &Record, _: &str) -> Result<(), StoreError> {
            self.seen.lock().expect("no panic").dead_letters.push(record.offset);
            Ok(())
        }
    }

    async fn taken(away_each: usize) -> Seen {
        let (fake, batch) = (Fake { away_each, seen: Mutex::default() }, batch());
        let mut waiting = vec![&*batch];
        for _ in 0..100 {
            if apply_or_set_aside(&fake, &mut waiting).await.is_ok() {
                break;
            }
        }
        fake.seen.into_inner().expect("no panic")
    }

    fn good() -> Vec<i64> {
        (0..500).filter(|offset| !BAD.contains(offset)).collect()
    }

    #[tokio::test]
    async fn the_others_are_applied_in_order_in_few_steps() {
        let seen = taken(usize::MAX).await;
        assert_eq!((seen.applied, &*seen.dead_letters), (good(), &BAD[..]));
        assert!(seen.calls < 50, "{} calls for two records that each stand alone after nine halvings", seen.calls);
    }

    #[tokio::test]
    async fn nothing_is_applied_twice_when_the_database_fails_meanwhile() {
        let seen = taken(3).await;
        assert_eq!((seen.applied, &*seen.dead_letters), (good(), &BAD[..]));
    }
}

//! How far a WatchOrders stream has got, as bytes that every replica understands. Pure.

use bytes::Bytes;
use prost::Message;

/// More partitions than any topic has: a bound on what a token can make us allocate.
const MAX_PARTITIONS: usize = 4096;

/// The next offset of each partition of the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(Vec<i64>);

impl Offsets {
    /// The next offsets of the partitions 0, 1, 2 ..
    pub fn new(next: impl IntoIterator<Item = i64>) -> Self {
        Self(next.into_iter().collect())
    }

    /// Number of partitions.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The next offset of a partition; 0 for one that is not known.
    pub fn at(&self, partition: i32) -> i64 {
        usize::try_from(partition).ok().and_then(|index| self.0.get(index)).copied().unwrap_or(0)
    }

    /// Moves one partition forward to `next`, never back.
    pub fn advance(&mut self, partition: i32, next: i64) {
        if let Some(own) = usize::try_from(partition).ok().and_then(|index| self.0.get_mut(index)) {
            *own = next.max(*own);
        }
    }

    /// Adds partitions, at 0, until there are `count`.
    pub fn resize(&mut self, count: usize) {
        self.0.resize(self.0.len().max(count), 0);
    }

    /// Moves every partition forward to where `other` is, never back. Partitions that only `other` has are added.
    pub fn advance_to(&mut self, other: &Self) {
        self.resize(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own = *other.max(own));
    }

    /// Whether some partition is further than in `other`. A partition that only one of them has is at 0 in the other.
    pub fn exceeds(&self, other: &Self) -> bool {
        self.iter().any(|(partition, own)| own > other.at(partition))
    }

    /// Each partition with its next offset.
    pub fn iter(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        (0..).zip(self.0.iter().copied())
    }
}

/// A place in the topic's log. It belongs to one filter of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Epoch of the topic's log.
    pub epoch: i64,
    /// Hash of tenant and filter, see [`comanda_kit::page::filter_hash`].
    pub filter_hash: Vec<u8>,
    /// Everything below these offsets was seen.
    pub offsets: Offsets,
}

/// A token as it is encoded.
#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(bytes = "vec", tag = "1")]
    filter_hash: Vec<u8>,
    #[prost(int64, tag = "2")]
    epoch: i64,
    #[prost(int64, repeated, tag = "3")]
    next_offsets: Vec<i64>,
}

/// Why bytes are no token of this stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidToken {
    /// No server made it.
    Malformed,
    /// It was made for another filter or another tenant.
    OtherFilter,
}

impl Token {
    /// The bytes of a token.
    pub fn encode(epoch: i64, filter_hash: &[u8], offsets: &Offsets) -> Bytes {
        let encoded = Encoded { filter_hash: filter_hash.into(), epoch, next_offsets: offsets.0.clone() };
        encoded.encode_to_vec().into()
    }

    /// Reads a token of a stream whose tenant and filter have this hash.
    pub fn decode(bytes: &[u8], filter_hash: &[u8]) -> Result<Self, InvalidToken> {
        let encoded = Encoded::decode(bytes).map_err(|_| InvalidToken::Malformed)?;
        if encoded.filter_hash.len() != filter_hash.len() || !encoded.is_plausible() {
            return Err(InvalidToken::Malformed);
        }
        if encoded.filter_hash != filter_hash {
            return Err(InvalidToken::OtherFilter);
        }
        let Encoded { filter_hash, epoch, next_offsets } = encoded;
        Ok(Self { epoch, filter_hash, offsets: Offsets(next_offsets) })
    }
}

impl Encoded {
    fn is_plausible(&self) -> bool {
        let count = self.next_offsets.len();
        self.epoch >= 0 && (1..=MAX_PARTITIONS).contains(&count) && self.next_offsets.iter().all(|next| *next >= 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILTER: &[u8] = b"filter.1";

    proptest! {
        #[test]
        fn a_token_reads_as_it_was_written(epoch in 0..=i64::MAX, offsets in prop::collection::vec(0..=i64::MAX, 1..50)) {
            let offsets = Offsets::new(offsets);
            let token = Token::decode(&Token::encode(epoch, FILTER, &offsets), FILTER);
            prop_assert_eq!(token, Ok(Token { epoch, filter_hash: FILTER.into(), offsets }));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_plausible(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(token) = Token::decode(&bytes, FILTER) {
                prop_assert!(token.epoch >= 0 && token.offsets.iter().all(|(_, next)| next >= 0));
            }
        }
    }

    #[test]
    fn a_token_is_compact() {
        let bytes = Token::encode(1, FILTER, &Offsets::new([1_000_000; 12]));
        assert!(bytes.len() <= 64, "{} bytes", bytes.len());
    }

    #[test]
    fn a_token_of_another_filter_and_a_damaged_one_are_told_apart() {
        let bytes = Token::encode(3, FILTER, &Offsets::new([5, 6]));
        assert_eq!(Token::decode(&bytes, b"filter.2"), Err(InvalidToken::OtherFilter));
        let none = Token::encode(3, FILTER, &Offsets::default());
        let negative = Token::encode(3, FILTER, &Offsets::new([-1]));
        let too_many = Token::encode(3, FILTER, &Offsets::new(vec![1; MAX_PARTITIONS + 1]));
        for wrong in [&[] as &[u8], &bytes[..bytes.len() - 1], &none, &negative, &too_many, &[9; 20], b"token"] {
            assert_eq!(Token::decode(wrong, FILTER), Err(InvalidToken::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn offsets_only_move_forward() {
        let mut offsets = Offsets::new([5, 5]);
        offsets.advance(0, 7);
        offsets.advance(1, 3);
        offsets.advance(9, 1);
        assert_eq!(offsets, Offsets::new([7, 5]));
        assert!(offsets.exceeds(&Offsets::new([6, 9])));
        offsets.advance_to(&Offsets::new([1, 9]));
        assert_eq!(offsets, Offsets::new([7, 9]));
        assert!(!offsets.exceeds(&Offsets::new([7, 9])));
    }

    #[test]
    fn a_partition_that_was_added_counts_from_0() {
        let (before, after) = (Offsets::new([5]), Offsets::new([5, 2]));
        assert!(after.exceeds(&before) && !before.exceeds(&after));
        let mut offsets = before;
        offsets.advance_to(&after);
        assert_eq!(offsets, after);
        offsets.advance_to(&Offsets::new([6]));
        assert_eq!(offsets, Offsets::new([6, 2]));
    }
}

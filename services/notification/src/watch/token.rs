//! How far a watch of many orders has come, as bytes that any replica understands. Pure.
//!
//! Layout: format (1 byte), hash of the filter (8 bytes), then varints: epoch of the topic's log, number of partitions, and the
//! next offset of each.

use bytes::Buf;
use prost::encoding::{decode_varint, encode_varint};

const FORMAT: u8 = 1;
/// More than any topic has; a bound on what a token can make us allocate.
const MOST_PARTITIONS: u64 = 4096;

/// See [`comanda_kit::page::filter_hash`].
pub type FilterHash = [u8; 8];

/// The next offset of each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(Vec<i64>);

impl Positions {
    /// Positions of the partitions 0, 1, 2 ..
    pub fn new(next_offsets: impl IntoIterator<Item = i64>) -> Self {
        Self(next_offsets.into_iter().collect())
    }

    /// Number of partitions.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The next offset of a partition; 0 for one that is not known.
    pub fn at(&self, partition: i32) -> i64 {
        usize::try_from(partition).ok().and_then(|index| self.0.get(index)).copied().unwrap_or(0)
    }

    /// Moves one partition forward, never back.
    pub fn pass(&mut self, partition: i32, next: i64) {
        if let Some(own) = usize::try_from(partition).ok().and_then(|index| self.0.get_mut(index)) {
            *own = next.max(*own);
        }
    }

    /// Moves every partition forward to where `other` is, none back.
    pub fn raise(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own = *other.max(own));
    }

    /// Whether some partition is further than in `other`.
    pub fn exceeds(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own > other)
    }

    /// Each partition with its next offset.
    pub fn iter(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        (0..).zip(self.0.iter().copied())
    }
}

/// A place in the topic's log, and the filter it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Epoch of the topic's log.
    pub epoch: i64,
    /// Hash of the filter.
    pub filter: FilterHash,
    /// What was seen: everything below.
    pub positions: Positions,
}

/// Why bytes are no token for this watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Not made by us.
    Malformed,
    /// Of a watch with another filter.
    OtherFilter,
}

impl Token {
    /// The bytes of a token.
    pub fn encode(epoch: i64, filter: FilterHash, positions: &Positions) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + 5 * positions.count());
        bytes.push(FORMAT);
        bytes.extend(filter);
        encode_varint(epoch.cast_unsigned(), &mut bytes);
        encode_varint(positions.count() as u64, &mut bytes);
        for (_, next) in positions.iter() {
            encode_varint(next.cast_unsigned(), &mut bytes);
        }
        bytes
    }

    /// Reads a token of a watch with this filter.
    pub fn decode(bytes: &[u8], filter: FilterHash) -> Result<Self, StoreError> {
        let token = Self::read(bytes).ok_or(StoreError::Malformed)?;
        if token.filter == filter { Ok(token) } else { Err(StoreError::OtherFilter) }
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let mut filter = FilterHash::default();
        bytes.try_copy_to_slice(&mut filter).ok()?;
        let epoch = number(bytes)?;
        let count = decode_varint(bytes).ok().filter(|count| (1..=MOST_PARTITIONS).contains(count))?;
        let positions = (0..count).map(|_| number(bytes)).collect::<Option<_>>().map(Positions)?;
        bytes.is_empty().then_some(Self { epoch, filter, positions })
    }
}

fn number(bytes: &mut &[u8]) -> Option<i64> {
    i64::try_from(decode_varint(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILTER: FilterHash = *b"filter.1";

    proptest! {
        #[test]
        fn a_token_means_what_it_was_made_of(epoch in 0..=i64::MAX, offsets in prop::collection::vec(0..=i64::MAX, 1..50)) {
            let positions = Positions::new(offsets);
            let token = Token::decode(&Token::encode(epoch, FILTER, &positions), FILTER);
            prop_assert_eq!(token, Ok(Token { epoch, filter: FILTER, positions }));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read_but_never_trusted(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(token) = Token::decode(&bytes, FILTER) {
                prop_assert!(token.positions.iter().all(|(_, next)| next >= 0));
            }
        }
    }

    #[test]
    fn a_token_is_compact() {
        let bytes = Token::encode(1, FILTER, &Positions::new([1_000_000; 12]));
        assert!(bytes.len() <= 64, "{} bytes", bytes.len());
    }

    #[test]
    fn a_token_of_another_filter_and_a_mangled_one_are_told_apart() {
        let bytes = Token::encode(3, FILTER, &Positions::new([5, 6]));
        assert_eq!(Token::decode(&bytes, *b"filter.2"), Err(StoreError::OtherFilter));
        let longer = [&*bytes, &[0]].concat();
        for wrong in [&[] as &[u8], &bytes[..bytes.len() - 1], &longer, &[9; 20], b"token"] {
            assert_eq!(Token::decode(wrong, FILTER), Err(StoreError::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn positions_only_move_forward() {
        let mut positions = Positions::new([5, 5]);
        positions.pass(0, 7);
        positions.pass(1, 3);
        positions.pass(9, 1);
        assert_eq!(positions, Positions::new([7, 5]));
        assert!(positions.exceeds(&Positions::new([6, 9])));
        positions.raise(&Positions::new([1, 9]));
        assert_eq!(positions, Positions::new([7, 9]));
        assert!(!positions.exceeds(&Positions::new([7, 9])));
    }
}

//! Which partition Kafka's clients choose for a key: MurmurHash2 modulo the number of partitions, as Java clients and librdkafka's
//! `murmur2_random` do. The relay needs it to leave records alone whose partition cannot be written now.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The partition of a key, among `partitions`.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    // Kafka clears the sign bit.
    let positive = i32::try_from(murmur2(key) & 0x7fff_ffff).expect("31 bits");
    positive % partitions
}

fn murmur2(bytes: &[u8]) -> u32 {
    let length = u32::try_from(bytes.len()).expect("a key is short");
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ length, |hash, word| {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER)
    });
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        // org.apache.kafka.common.utils.UtilsTest
        let hashes: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in hashes {
            assert_eq!(murmur2(key.as_bytes()), hash as u32, "{key}");
        }
    }
}

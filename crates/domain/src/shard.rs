//! Which shard a destination belongs to.

use crate::EndpointId;

/// How many shards there are; fixed for ever, because the number is stored with each delivery.
pub const SHARD_COUNT: u8 = 64;

/// A shard: a fixed part of all destinations, owned by one node at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(u8); // Invariant: below `SHARD_COUNT`.

impl ShardId {
    /// Returns the shard of an endpoint: FNV-1a (64 bit) over the 16 big-endian bytes of its id,
    /// then the top six bits.
    ///
    /// The hash is part of the stored format, so it never changes.
    pub fn of(endpoint: EndpointId) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in endpoint.bits().to_be_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(u8::try_from(hash >> 58).expect("six bits fit"))
    }

    /// Makes a shard from its stored number.
    pub const fn new(number: u8) -> Option<Self> {
        if number < SHARD_COUNT {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the stored number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns every shard.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARD_COUNT).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_an_endpoint_never_changes() {
        let shard = |bits| ShardId::of(EndpointId::from_bits(bits)).number();

        assert_eq!([shard(0), shard(1), shard(u128::MAX)], [34, 34, 53]);
    }

    #[test]
    fn consecutive_ids_spread_over_all_shards() {
        let mut sequence = crate::IdSequence::default();
        let mut seen = [0u32; SHARD_COUNT as usize];
        for step in 0..6_400u32 {
            let random = u128::from(step).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
            let bits = sequence.next(crate::Timestamp::from_unix_seconds(1_700_000_000), random);
            seen[usize::from(ShardId::of(EndpointId::from_bits(bits)).number())] += 1;
        }

        assert!(
            seen.iter().all(|count| (40..=200).contains(count)),
            "{seen:?}"
        );
    }
}

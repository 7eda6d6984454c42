//! Public ids: a prefix and a UUIDv7 as 26 lower-case Crockford characters, `msg_01jd…`.
//!
//! Ids are made by [`IdSequence`], which is strictly increasing within a process. Its 21 counter
//! bits follow the 42 low bits of the millisecond, so the first 63 bits of an id are unique by
//! themselves and order by time: they are the integer key under which the store keeps the row
//! ([`MessageId::key`]). That spares the store an index over random 16-byte ids.

use std::fmt;
use std::str::FromStr;

use crate::{InboundKey, MessageKey, Timestamp};

/// The text is not an id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct InvalidId;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits need 26 characters of 5 bits; the first holds only 3.
const ENCODED_LEN: usize = 26;

fn encode(value: u128) -> [u8; ENCODED_LEN] {
    let mut out = [0; ENCODED_LEN];
    for (index, slot) in out.iter_mut().rev().enumerate() {
        let five = (value >> (5 * index)) & 31;
        *slot = ALPHABET[usize::try_from(five).expect("five bits fit")];
    }
    out
}

fn decode(text: &[u8]) -> Option<u128> {
    if text.len() != ENCODED_LEN || text[0] > b'7' {
        return None;
    }
    let mut value = 0u128;
    for byte in text {
        // Upper case is refused: one id has one spelling, so ids compare as text too.
        let five = ALPHABET.iter().position(|a| a == byte)?;
        value = (value << 5) | five as u128;
    }
    Some(value)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// What every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes the id from its 128 bits, as drawn from an [`IdSequence`] or a stored row.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// Returns the 128 bits, as stored.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// Says whether `text` has the shape of an id of this kind, existing or not.
            pub fn looks_like(text: &str) -> bool {
                text.parse::<Self>().is_ok()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(std::str::from_utf8(&encode(self.0)).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let rest = text.strip_prefix($prefix).ok_or(InvalidId)?;
                decode(rest.as_bytes()).map(Self).ok_or(InvalidId)
            }
        }
    };
}

id!(
    /// Names an organization, the outermost tenant.
    OrganizationId, "org_"
);
id!(
    /// Names an application.
    ApplicationId, "app_"
);
id!(
    /// Names an endpoint.
    EndpointId, "ep_"
);
id!(
    /// Names a message; it is the `webhook-id` of every attempt.
    MessageId, "msg_"
);
id!(
    /// Names an attempt. It is derived from what it tries, never stored.
    AttemptId, "atmpt_"
);
id!(
    /// Names a job: a replay, for example.
    JobId, "job_"
);
id!(
    /// Names an API key (not the secret part of it).
    ApiKeyId, "key_"
);

id!(
    /// Names a source: an inbound URL with its verification scheme.
    SourceId, "src_"
);
id!(
    /// Names an inbound request, as a source received it.
    InboundId, "req_"
);

impl InboundId {
    /// Returns when the request came in, in whole milliseconds.
    pub fn at(self) -> Timestamp {
        MessageId(self.0).at()
    }

    /// Returns the first 63 bits that matter, as [`MessageId::key`] does.
    pub fn key(self) -> InboundKey {
        InboundKey(MessageId(self.0).key().0)
    }
}

impl MessageId {
    /// Returns when the message was published, in whole milliseconds.
    pub fn at(self) -> Timestamp {
        let millis = i64::try_from(self.0 >> 80).expect("48 bits fit");
        Timestamp::from_micros(millis.saturating_mul(1_000))
    }

    /// Returns the first 63 bits that matter: 42 of the millisecond and the 21 counter bits.
    pub fn key(self) -> MessageKey {
        let millis = (self.0 >> 80) & ((1 << 42) - 1);
        let counter_high = (self.0 >> 64) & 0xfff; // `rand_a`, after the version
        let counter_low = (self.0 >> 53) & 0x1ff; // the top of `rand_b`, after the variant
        let key = (millis << 21) | (counter_high << 9) | counter_low;
        MessageKey(i64::try_from(key).expect("63 bits fit"))
    }
}

impl AttemptId {
    /// Derives the id of attempt `number` of a delivery made at `at`.
    ///
    /// A UUIDv7 whose random part is a hash of the delivery and the number: the same attempt
    /// always has the same id, and nothing has to be stored or indexed for it.
    pub fn derive(message: MessageId, endpoint: EndpointId, number: u16, at: Timestamp) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for part in [message.0, endpoint.0, u128::from(number)] {
            state = mix(state ^ low64(part >> 64));
            state = mix(state ^ low64(part));
        }
        let random = (u128::from(mix(state ^ 1)) << 64) | u128::from(state);
        Self(uuid_v7(at.as_unix_millis(), random))
    }
}

fn low64(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).expect("masked to 64 bits")
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Lays out a UUIDv7 (RFC 9562, section 5.7): milliseconds, version, 12 bits, variant, 62 bits.
fn uuid_v7(unix_millis: u64, random: u128) -> u128 {
    let millis = u128::from(unix_millis) & ((1 << 48) - 1);
    let rand_a = (random >> 62) & 0xfff;
    let rand_b = random & ((1 << 62) - 1);
    (millis << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b
}

/// Draws strictly increasing UUIDv7 values whose first 63 significant bits are already unique.
#[derive(Clone, Debug, Default)]
pub struct IdSequence {
    millis: u64,
    counter: u32,
}

impl IdSequence {
    const COUNTER_BITS: u32 = 21;

    /// Returns the next id: `now` and `random` are the caller's.
    ///
    /// Within a millisecond a counter rises from a random start in the lower half of its range; a
    /// clock that stands still or steps back keeps the last millisecond, and a counter that is
    /// used up borrows the next one.
    pub fn next(&mut self, now: Timestamp, random: u128) -> u128 {
        let millis = now.as_unix_millis();
        if millis > self.millis {
            self.millis = millis;
            let start = (random >> 100) & ((1 << (Self::COUNTER_BITS - 1)) - 1);
            self.counter = u32::try_from(start).expect("20 bits fit");
        } else if self.counter + 1 < 1 << Self::COUNTER_BITS {
            self.counter += 1;
        } else {
            self.millis += 1;
            self.counter = 0;
        }
        // The counter is the top of the 74 random bits: 12 in `rand_a`, 9 in `rand_b`.
        let tail = random & ((1 << 53) - 1);
        uuid_v7(self.millis, (u128::from(self.counter) << 53) | tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = MessageId::from_bits(IdSequence::default().next(at(1_732_000_000_000), 7 << 90));

        let text = id.to_string();

        assert_eq!(text.len(), "msg_".len() + 26);
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn another_kinds_id_upper_case_and_overflow_are_refused() {
        let text = MessageId::from_bits(u128::MAX).to_string();

        assert_eq!(text, "msg_7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_eq!(
            text.replace("msg_", "app_").parse::<MessageId>(),
            Err(InvalidId)
        );
        assert_eq!(text.replace('z', "Z").parse::<MessageId>(), Err(InvalidId));
        assert_eq!(
            "msg_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<MessageId>(),
            Err(InvalidId)
        );
        assert_eq!("msg_".parse::<MessageId>(), Err(InvalidId));
    }

    #[test]
    fn ids_and_their_keys_rise_strictly_even_when_the_clock_steps_back() {
        let mut sequence = IdSequence::default();
        let mut last = MessageId::from_bits(0);
        for step in 0..5_000_000u32 {
            let now = if step % 1_000 == 0 {
                at(1_700_000_000_000 - i64::from(step))
            } else {
                at(5)
            };
            let random = u128::from(step).wrapping_mul(0x1234_5678_9abc_def1_2345_6789_abcd_ef01);
            let id = MessageId::from_bits(sequence.next(now, random));
            assert!(last < id && last.key() < id.key(), "at step {step}");
            last = id;
        }
    }

    #[test]
    fn a_full_counter_borrows_the_next_millisecond() {
        let mut sequence = IdSequence {
            millis: 10,
            counter: (1 << 21) - 1,
        };

        let id = MessageId::from_bits(sequence.next(at(10), 0));

        assert_eq!(id.key(), MessageKey(11 << 21));
    }

    #[test]
    fn the_bits_carry_version_7_and_the_rfc_variant() {
        let bits = IdSequence::default().next(at(1), u128::MAX);

        assert_eq!((bits >> 76) & 0xf, 7);
        assert_eq!((bits >> 62) & 0b11, 0b10);
    }

    #[test]
    fn an_attempts_id_depends_on_message_endpoint_number_and_time() {
        let derive = |message, endpoint, number, millis| {
            let (message, endpoint) = (
                MessageId::from_bits(message),
                EndpointId::from_bits(endpoint),
            );
            AttemptId::derive(message, endpoint, number, at(millis))
        };
        let base = derive(1, 2, 3, 4);

        assert_eq!(base, derive(1, 2, 3, 4));
        for other in [
            derive(9, 2, 3, 4),
            derive(1, 9, 3, 4),
            derive(1, 2, 9, 4),
            derive(1, 2, 3, 9),
        ] {
            assert_ne!(base, other);
        }
    }
}

//! Payloads that carry their own number and time.
//!
//! The receiver reads both at fixed offsets, so nothing has to be joined to know what was lost,
//! what was repeated and how long the way was: `{"s":"<16 hex>","t":"<16 hex>","p":"<padding>"}`.

/// What a payload says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The message's number within the run.
    pub sequence: u64,
    /// When it was sent, or should have been: nanoseconds since 1970.
    pub sent_nanos: u64,
}

const SEQUENCE_AT: usize = r#"{"s":""#.len();
const SENT_AT: usize = SEQUENCE_AT + 16 + r#"","t":""#.len();
const PADDING_AT: usize = SENT_AT + 16 + r#"","p":""#.len();
const CLOSE: &str = r#""}"#;

/// The smallest payload that holds a stamp, in bytes.
pub const SIZE_MIN: usize = PADDING_AT + CLOSE.len();

/// A payload of a fixed size, to be copied and stamped.
#[derive(Clone, Debug)]
pub struct Template(Vec<u8>);

impl Template {
    /// Makes a template of `size` bytes, or of [`SIZE_MIN`] if that is more.
    pub fn new(size: usize) -> Self {
        let padding = "x".repeat(size.saturating_sub(SIZE_MIN));
        let zeros = "0".repeat(16);
        let text = format!(r#"{{"s":"{zeros}","t":"{zeros}","p":"{padding}{CLOSE}"#);
        Self(text.into_bytes())
    }

    /// Appends the payload with `stamp` to `out`.
    pub fn append(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.0);
        put_hex(&mut out[start + SEQUENCE_AT..], stamp.sequence);
        put_hex(&mut out[start + SENT_AT..], stamp.sent_nanos);
    }
}

/// Reads the stamp; `None` when the bytes are no payload of ours.
pub fn read(payload: &[u8]) -> Option<Stamp> {
    Some(Stamp {
        sequence: get_hex(payload.get(SEQUENCE_AT..SEQUENCE_AT + 16)?)?,
        sent_nanos: get_hex(payload.get(SENT_AT..SENT_AT + 16)?)?,
    })
}

fn put_hex(out: &mut [u8], value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, slot) in out[..16].iter_mut().rev().enumerate() {
        *slot = DIGITS[usize::try_from((value >> (4 * index)) & 15).expect("four bits fit")];
    }
}

fn get_hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_and_the_payload_is_json_of_the_size_asked_for() {
        let stamp = Stamp {
            sequence: 42,
            sent_nanos: 1_763_000_000_123_456_789,
        };
        let mut payload = Vec::new();

        Template::new(256).append(stamp, &mut payload);

        assert_eq!(read(&payload), Some(stamp));
        assert_eq!(payload.len(), 256);
        serde_json::from_slice::<serde_json::Value>(&payload).unwrap();
    }

    #[test]
    fn bytes_of_another_shape_have_no_stamp() {
        assert_eq!(read(b"{}"), None);
        assert_eq!(read(&[b'z'; 100]), None);
    }
}

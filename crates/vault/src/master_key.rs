//! The key that seals all other secrets, and the name by which sealed bytes refer to it.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The text is not a master key.
///
/// Neither variant repeats any part of the text, so an error can be shown and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMasterKey {
    /// The prefix is missing: this is some other text.
    #[error("does not start with `{prefix}`", prefix = MasterKey::PREFIX)]
    OtherKind,
    /// What follows is not the padded standard base64 of 32 bytes.
    #[error("is not `{prefix}` and the padded standard base64 of 32 bytes",
        prefix = MasterKey::PREFIX)]
    Malformed,
}

/// A key of 32 random bytes, written `phk_` and padded base64.
///
/// It is wiped from memory when dropped, never shown by `Debug`, and compared in constant time.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; Self::LEN]>);

impl MasterKey {
    /// What a master key's text starts with.
    pub const PREFIX: &'static str = "phk_";
    const LEN: usize = 32;
    const ENCODED_LEN: usize = Self::LEN.div_ceil(3) * 4;

    /// Makes a master key from 32 random bytes of the caller's.
    pub fn from_random(bytes: [u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Parses `phk_` and the padded standard base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        let base64 = text
            .strip_prefix(Self::PREFIX)
            .ok_or(InvalidMasterKey::OtherKind)?;
        if base64.len() != Self::ENCODED_LEN {
            return Err(InvalidMasterKey::Malformed);
        }
        // The decoder asks for room as if there were no padding. Its own error quotes a byte of
        // the text, so it is dropped.
        let mut buffer = Zeroizing::new([0; Self::ENCODED_LEN / 4 * 3]);
        let len = STANDARD
            .decode_slice(base64, buffer.as_mut_slice())
            .map_err(|_| InvalidMasterKey::Malformed)?;
        let mut key = Zeroizing::new([0; Self::LEN]);
        if len != Self::LEN {
            return Err(InvalidMasterKey::Malformed);
        }
        key.copy_from_slice(&buffer[..len]);
        Ok(Self(key))
    }

    /// Returns the text form, for the one file or variable that keeps it.
    pub fn to_text(&self) -> Zeroizing<String> {
        // Room for all of it, so that no reallocation leaves a copy behind.
        let len = Self::PREFIX.len() + Self::ENCODED_LEN;
        let mut text = Zeroizing::new(String::with_capacity(len));
        text.push_str(Self::PREFIX);
        STANDARD.encode_string(self.0.as_slice(), &mut text);
        text
    }

    /// Returns the name that what it seals carries: the first 8 bytes of the key's SHA-256.
    ///
    /// It tells nothing of use about the key, whose 256 bits are random.
    pub fn id(&self) -> KeyId {
        let hash = digest::digest(&digest::SHA256, self.0.as_slice());
        let first = hash.as_ref().first_chunk();
        KeyId(*first.expect("SHA-256 has 32 bytes"))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_slice(), other.0.as_slice()).is_ok()
    }
}

impl Eq for MasterKey {}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Names a master key without showing it; sixteen hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    pub(crate) const LEN: usize = 8;

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes 0 to 31.
    const TEXT: &str = "phk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_master_key_reads_back_from_its_text_and_is_named_by_its_hash() {
        let key = MasterKey::from_random(std::array::from_fn(|i| u8::try_from(i).unwrap()));

        assert_eq!(key.to_text().as_str(), TEXT);
        assert_eq!(key.id().to_string(), "630dcd2966c43366");
        assert_eq!(MasterKey::parse(TEXT), Ok(key));
    }

    #[test]
    fn an_id_keeps_its_leading_zeros() {
        let id = KeyId::from_bytes([0, 0, 0, 0, 0, 0, 1, 0xab]);

        assert_eq!(id.to_string(), "00000000000001ab");
    }

    #[test]
    fn other_texts_are_refused() {
        use InvalidMasterKey::{Malformed, OtherKind};
        for (text, error) in [
            (String::new(), OtherKind),
            (TEXT.replace("phk_", ""), OtherKind),
            (TEXT.replace("phk_", "PHK_"), OtherKind),
            (TEXT.replace("phk_", "whsec_"), OtherKind),
            (format!(" {TEXT}"), OtherKind),
            (format!("{TEXT}\n"), Malformed),
            (TEXT.replace('=', ""), Malformed),
            (TEXT.replace("8=", "9="), Malformed), // A bit beyond the end.
            (TEXT.replace("8=", "88"), Malformed), // 33 bytes.
            (TEXT.replace("h8=", "h==") + "", Malformed),
            (TEXT.replace("Hh8=", "Hg=="), Malformed), // 31 bytes.
            (TEXT.replace('A', "-"), Malformed),
            ("phk_".into(), Malformed),
        ] {
            assert_eq!(MasterKey::parse(&text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", MasterKey::parse(TEXT).unwrap()), "***");
    }

    proptest! {
        #[test]
        fn every_key_reads_back_and_differs_from_every_other(bytes: [u8; 32], bit in 0usize..256) {
            let key = MasterKey::from_random(bytes);
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            let other = MasterKey::from_random(other);

            prop_assert_eq!(MasterKey::parse(&key.to_text()), Ok(key.clone()));
            prop_assert_ne!(&key, &other);
            prop_assert_ne!(key.id(), other.id());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(phk_)?\\PC{0,60}") {
            let _ = MasterKey::parse(&text);
        }
    }
}

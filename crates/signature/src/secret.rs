//! The shared secret of an endpoint, and the strict base64 that all keys are written in.

use std::fmt;

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::ed25519::{PrivateKey, PublicKey};

/// The text is not a key of the expected kind.
///
/// No variant repeats any part of the text, so an error can be shown and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not base64 in the standard alphabet, with its padding, with no bit set beyond the end.
    #[error("is not standard base64 with its padding")]
    NotBase64,
    /// Fewer bytes than a secret must have.
    #[error("holds {bytes} bytes; a secret has {min} to {max}", min = Secret::LEN_MIN,
        max = Secret::LEN_MAX)]
    TooShort {
        /// How many bytes the text holds.
        bytes: usize,
    },
    /// More bytes than any key may have.
    #[error("holds more than {max} bytes", max = Secret::LEN_MAX)]
    TooLong,
    /// The prefix is missing, or is that of another kind of key.
    #[error("does not start with `{expected}`")]
    OtherKind {
        /// The prefix of the expected kind.
        expected: &'static str,
    },
    /// An Ed25519 key of a length that none has.
    #[error("holds {bytes} bytes, which is not the length of an Ed25519 key of this kind")]
    Ed25519Length {
        /// How many bytes the text holds.
        bytes: usize,
    },
    /// The second half of a private key is not the public key of the first.
    #[error("holds a private and a public Ed25519 key that do not belong together")]
    HalvesDiffer,
    /// A public key for which anybody can make signatures, or a second spelling of a key.
    #[error("is not a safe Ed25519 public key")]
    WeakPublicKey,
}

/// A secret shared with a receiver: 24 to 64 bytes, written `whsec_` and padded base64.
///
/// It is wiped from memory when dropped, never shown by `Debug`, and compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>); // Invariant: LEN_MIN..=LEN_MAX bytes.

impl Secret {
    /// What a secret's text starts with; optional where one is read.
    pub const PREFIX: &'static str = "whsec_";
    /// The fewest bytes that a secret has: the 192 bits of Standard Webhooks.
    pub const LEN_MIN: usize = 24;
    /// The most bytes that a secret has: one block of SHA-256, beyond which HMAC hashes the key.
    pub const LEN_MAX: usize = 64;

    /// Makes a secret from 32 random bytes of the caller's.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// Parses `whsec_` and base64, or base64 alone.
    ///
    /// Strict, because a lenient reader accepts texts that a receiver's library then reads as
    /// another secret or not at all: padding, the standard alphabet and zero bits after the end are
    /// required. The text of an Ed25519 key is [`InvalidKey::OtherKind`].
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.starts_with(PrivateKey::PREFIX) || text.starts_with(PublicKey::PREFIX) {
            return Err(InvalidKey::OtherKind {
                expected: Self::PREFIX,
            });
        }
        let decoded = Decoded::parse(text.strip_prefix(Self::PREFIX).unwrap_or(text))?;
        match decoded.as_bytes() {
            bytes if bytes.len() < Self::LEN_MIN => {
                Err(InvalidKey::TooShort { bytes: bytes.len() })
            }
            bytes if bytes.len() > Self::LEN_MAX => Err(InvalidKey::TooLong),
            bytes => Ok(Self(Zeroizing::new(bytes.to_vec()))),
        }
    }

    /// Returns the text form, with its prefix.
    pub fn to_text(&self) -> Zeroizing<String> {
        to_text(Self::PREFIX, &self.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The characters of [`Secret::LEN_MAX`] bytes in base64, which is the longest text of any key.
const TEXT_LEN_MAX: usize = encoded_len(Secret::LEN_MAX);
/// Room for what the longest text holds without padding, which is what the decoder asks for.
const DECODED_LEN_MAX: usize = TEXT_LEN_MAX / 4 * 3;

/// Returns how many characters `bytes` bytes have in padded base64.
pub(crate) const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// A decoded key, in a buffer that is wiped whether or not the key turns out to be usable.
pub(crate) struct Decoded {
    buffer: Zeroizing<[u8; DECODED_LEN_MAX]>,
    len: usize,
}

impl Decoded {
    /// Decodes `text`, of which no more than [`TEXT_LEN_MAX`] characters are accepted.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.len() > TEXT_LEN_MAX {
            return Err(InvalidKey::TooLong);
        }
        let mut buffer = Zeroizing::new([0; DECODED_LEN_MAX]);
        // The decoder's own error quotes a byte of the text, which is part of a secret.
        let len = STANDARD
            .decode_slice(text, buffer.as_mut_slice())
            .map_err(|_| InvalidKey::NotBase64)?;
        Ok(Self { buffer, len })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// Writes a prefix and base64 into a text that never grows, so that no copy is left behind.
pub(crate) fn to_text(prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    let len = prefix.len() + encoded_len(bytes.len());
    let mut text = Zeroizing::new(String::with_capacity(len));
    text.push_str(prefix);
    STANDARD.encode_string(bytes, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn text_of(len: u8) -> String {
        let bytes: Vec<u8> = (0..len).collect();
        to_text(Secret::PREFIX, &bytes).to_string()
    }

    #[test]
    fn a_secret_reads_with_and_without_its_prefix_and_is_written_with_it() {
        let secret = Secret::parse(TEXT).unwrap();

        assert_eq!(secret.to_text().as_str(), TEXT);
        assert_eq!(Secret::parse(&TEXT["whsec_".len()..]), Ok(secret));
    }

    #[test]
    fn a_secret_of_random_bytes_has_all_32_of_them() {
        let secret = Secret::from_random(std::array::from_fn(|i| u8::try_from(i).unwrap()));

        assert_eq!(
            secret.to_text().as_str(),
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        );
        assert_eq!(Secret::parse(&secret.to_text()), Ok(secret));
    }

    #[test]
    fn lengths_from_24_to_64_bytes_are_secrets_and_no_others() {
        for len in 0..=80 {
            let expected = match len {
                0..24 => Some(InvalidKey::TooShort { bytes: len.into() }),
                24..=64 => None,
                _ => Some(InvalidKey::TooLong),
            };
            assert_eq!(Secret::parse(&text_of(len)).err(), expected, "{len} bytes");
        }
    }

    #[test]
    fn what_is_not_strict_base64_is_refused() {
        let padded = text_of(32);
        for (why, text) in [
            ("unpadded", padded.trim_end_matches('=').to_owned()),
            ("padded twice", format!("{padded}=")),
            ("base64url", text_of(48).replace('g', "-")),
            ("base64url", text_of(48).replace('g', "_")),
            ("a bit beyond the end", padded.replace("8=", "9=")),
            ("white space before", format!(" {TEXT}")),
            ("a line end after", format!("{TEXT}\n")),
            ("prefixed twice", format!("whsec_{TEXT}")),
            ("upper-case prefix", TEXT.replace("whsec_", "WHSEC_")),
            ("not ASCII", TEXT.replace('C', "ß")),
            ("hexadecimal after 0x", "0x".repeat(17)),
        ] {
            assert_eq!(Secret::parse(&text), Err(InvalidKey::NotBase64), "{why}");
        }
    }

    #[test]
    fn an_ed25519_key_is_not_taken_for_a_shared_secret() {
        let expected = Err(InvalidKey::OtherKind { expected: "whsec_" });

        assert_eq!(Secret::parse(&TEXT.replace("whsec_", "whsk_")), expected);
        assert_eq!(Secret::parse(&TEXT.replace("whsec_", "whpk_")), expected);
    }

    #[test]
    fn debug_shows_nothing_and_errors_quote_nothing() {
        let secret = Secret::parse(TEXT).unwrap();
        let error = Secret::parse("whsec_hunter2!hunter2!hunter2!hunter2!").unwrap_err();

        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(error.to_string(), "is not standard base64 with its padding");
    }

    #[test]
    fn secrets_are_equal_when_all_their_bytes_are() {
        let secret = Secret::from_random([7; 32]);

        assert_eq!(secret, Secret::from_random([7; 32]));
        for index in 0..32 {
            let mut other = [7; 32];
            other[index] ^= 0x80;
            assert_ne!(secret, Secret::from_random(other));
        }
    }

    proptest! {
        #[test]
        fn every_secret_reads_back_from_its_text(
            bytes in proptest::collection::vec(any::<u8>(), Secret::LEN_MIN..=Secret::LEN_MAX),
        ) {
            let secret = Secret::parse(&to_text(Secret::PREFIX, &bytes)).unwrap();

            prop_assert_eq!(secret.as_bytes(), bytes.as_slice());
            prop_assert_eq!(Secret::parse(&secret.to_text()), Ok(secret));
        }

        #[test]
        fn a_secret_has_one_spelling(text in "[A-Za-z0-9+/]{32,44}={0,2}") {
            if let Ok(secret) = Secret::parse(&text) {
                prop_assert_eq!(&secret.to_text()["whsec_".len()..], text);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(prefix in "(wh(sec|sk|pk)_)?", text in "\\PC{0,120}") {
            let _ = Secret::parse(&(prefix + &text));
        }
    }
}

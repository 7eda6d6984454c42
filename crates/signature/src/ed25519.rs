//! Ed25519 key pairs: `whsk_` is the private key, `whpk_` the public one.
//!
//! Standard Webhooks says "base64 of the key" and leaves open which of the two customary forms of a
//! private key is meant. The form with 64 bytes, seed and public key, is what libsodium and the
//! senders in use keep, so that is what is written here. The 32 bytes of the seed alone, the form
//! of RFC 8032, are read as well: both lead to the same key.

use std::fmt;

use aws_lc_rs::constant_time;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::secret::{Decoded, InvalidKey, to_text};

const SEED_LEN: usize = 32;
const PUBLIC_LEN: usize = 32;
pub(crate) const SIGNATURE_LEN: usize = 64;

/// An Ed25519 private key, written `whsk_` and the base64 of seed and public key (64 bytes).
///
/// It is wiped from memory when dropped, and `Debug` does not show it.
pub struct PrivateKey {
    seed: Zeroizing<[u8; SEED_LEN]>,
    pair: Ed25519KeyPair, // Made from `seed` once: deriving the public key costs a signature.
}

impl PrivateKey {
    /// What a private key's text starts with; required where one is read.
    pub const PREFIX: &'static str = "whsk_";

    /// Makes a private key from 32 random bytes of the caller's, which become its seed.
    pub fn from_random(seed: [u8; SEED_LEN]) -> Self {
        let seed = Zeroizing::new(seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .expect("every 32 bytes are a seed");
        Self { seed, pair }
    }

    /// Parses `whsk_` and the base64 of 64 bytes (seed and public key) or 32 bytes (seed).
    ///
    /// The prefix is required: without it the text could as well be a shared secret.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let decoded = Decoded::parse(strip_prefix(text, Self::PREFIX)?)?;
        let bytes = decoded.as_bytes();
        let Some((seed, public)) = bytes.split_first_chunk::<SEED_LEN>() else {
            return Err(InvalidKey::Ed25519Length { bytes: bytes.len() });
        };
        if !public.is_empty() && public.len() != PUBLIC_LEN {
            return Err(InvalidKey::Ed25519Length { bytes: bytes.len() });
        }
        let key = Self::from_random(*seed);
        // Signing with a public key of another seed gives signatures that reveal the private key.
        if !public.is_empty() && public != key.pair.public_key().as_ref() {
            return Err(InvalidKey::HalvesDiffer);
        }
        Ok(key)
    }

    /// Returns the text form with its prefix: the base64 of seed and public key.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SEED_LEN + PUBLIC_LEN]);
        bytes[..SEED_LEN].copy_from_slice(self.seed.as_slice());
        bytes[SEED_LEN..].copy_from_slice(self.pair.public_key().as_ref());
        to_text(Self::PREFIX, bytes.as_slice())
    }

    /// Returns the public key, which receivers verify with.
    pub fn public_key(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref();
        PublicKey(bytes.try_into().expect("a public key has 32 bytes"))
    }

    pub(crate) fn sign(&self, content: &[u8]) -> [u8; SIGNATURE_LEN] {
        let signature = self.pair.sign(content);
        signature
            .as_ref()
            .try_into()
            .expect("a signature has 64 bytes")
    }
}

impl Clone for PrivateKey {
    fn clone(&self) -> Self {
        Self {
            seed: self.seed.clone(),
            pair: self.pair.clone(),
        }
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.seed.as_slice(), other.seed.as_slice()).is_ok()
    }
}

impl Eq for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An Ed25519 public key, written `whpk_` and the base64 of its 32 bytes.
///
/// It has one spelling, and is none of the few keys for which anybody can make signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_LEN]);

impl PublicKey {
    /// What a public key's text starts with; required where one is read.
    pub const PREFIX: &'static str = "whpk_";

    /// Parses `whpk_` and the base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let decoded = Decoded::parse(strip_prefix(text, Self::PREFIX)?)?;
        let bytes = decoded.as_bytes();
        let key = <[u8; PUBLIC_LEN]>::try_from(bytes)
            .map_err(|_| InvalidKey::Ed25519Length { bytes: bytes.len() })?;
        if is_weak(&key) {
            return Err(InvalidKey::WeakPublicKey);
        }
        Ok(Self(key))
    }

    /// Returns the text form with its prefix.
    pub fn to_text(&self) -> String {
        to_text(Self::PREFIX, &self.0).to_string()
    }

    /// Says whether `signature` over `content` was made with the private key.
    pub(crate) fn accepts(&self, content: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(content, signature)
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

fn strip_prefix<'a>(text: &'a str, prefix: &'static str) -> Result<&'a str, InvalidKey> {
    text.strip_prefix(prefix)
        .ok_or(InvalidKey::OtherKind { expected: prefix })
}

/// The prime 2^255 - 19 of the curve's field, in limbs of 64 bits, lowest first.
const FIELD: [u64; 4] = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];

/// The y coordinates of the eight points of small order, in limbs as [`FIELD`].
///
/// For a public key among them, signatures that hold for many or all contents are easy to write
/// down without any private key, and the verification algorithm itself does not object.
const SMALL_ORDER_Y: [[u64; 4]; 5] = [
    [1, 0, 0, 0],                                 // The neutral element.
    [FIELD[0] - 1, FIELD[1], FIELD[2], FIELD[3]], // -1: order 2.
    [0, 0, 0, 0],                                 // Order 4, two points.
    [
        0xb027_b2c2_8f95_e826, // Order 8, two points.
        0xf098_eff2_89f4_c345,
        0x3933_c6d3_05ac_dfd5,
        0x05fc_536d_8802_38b1,
    ],
    [
        0x4fd8_4d3d_706a_17c7, // Order 8, the other two.
        0x0f67_100d_760b_3cba,
        0xc6cc_392c_fa53_202a,
        0x7a03_ac92_77fd_c74e,
    ],
];

/// Says whether a public key is of small order, or spells its y coordinate as a number that is not
/// reduced (so that two texts would name one key).
pub(crate) fn is_weak(key: &[u8; PUBLIC_LEN]) -> bool {
    let mut y = [0; 4];
    for (limb, bytes) in y.iter_mut().zip(key.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    y[3] &= u64::MAX >> 1; // The top bit is the sign of x.
    let reduced = y.iter().rev().lt(FIELD.iter().rev());
    !reduced || SMALL_ORDER_Y.contains(&y)
}

#[cfg(test)]
mod tests;

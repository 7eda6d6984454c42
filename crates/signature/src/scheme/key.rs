//! Keys as providers write them.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::encoding::decode_hex;
use super::{Algorithm, Scheme};

/// The most characters that a secret or a public key may be written in.
pub const SECRET_LEN_MAX: usize = 8 << 10;

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyEncoding {
    /// The characters of the text are the key.
    #[default]
    Utf8,
    /// Padded base64 in the standard alphabet; for Ed25519 that of the 32 bytes.
    Base64,
    /// Hexadecimal digits; for Ed25519 those of the 32 bytes.
    Hex,
    /// A public key with its kind (SubjectPublicKeyInfo), as base64 or PEM.
    Spki,
}

impl KeyEncoding {
    pub(super) const SHARED: [Self; 3] = [Self::Utf8, Self::Base64, Self::Hex];

    pub(super) fn suits(self, algorithm: Algorithm, needs_public_key: bool) -> bool {
        match self {
            Self::Spki => needs_public_key,
            Self::Utf8 => !needs_public_key,
            Self::Base64 | Self::Hex => !needs_public_key || algorithm == Algorithm::Ed25519,
        }
    }

    /// Returns the encoding's name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Utf8 => "its characters as they are",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Spki => "base64 or PEM of a SubjectPublicKeyInfo",
        }
    }
}

/// How a key is written, and what stands before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyForm {
    /// How the key is written.
    #[serde(default)]
    pub encoding: KeyEncoding,
    /// What is taken off its front where it is there, such as `whsec_`.
    pub prefix: Option<String>,
}

/// The text is no secret or key of this scheme. No variant repeats any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// An empty key would let anybody sign.
    #[error("is empty")]
    Empty,
    /// Longer than [`SECRET_LEN_MAX`].
    #[error("is longer than {SECRET_LEN_MAX} characters")]
    TooLong,
    /// Not base64.
    #[error("is not standard base64 with its padding")]
    NotBase64,
    /// Not hexadecimal digits.
    #[error("is not an even number of hexadecimal digits")]
    NotHex,
    /// Not a key of the algorithm.
    #[error("is no public key of the algorithm")]
    NotPublicKey,
    /// Not a private key of the algorithm.
    #[error("is no private key of the algorithm")]
    NotPrivateKey,
}

/// A secret or public key, ready for use with one scheme.
///
/// Wiped from memory when dropped, and never shown by `Debug`.
pub struct Key {
    /// The key itself; of a scheme with certificates what else the operator gave.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Boxed: the prepared key is three states of the hash, 1.2 KB.
    pub(super) hmac: Option<Box<hmac::Key>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// Reads a secret or public key as `scheme` has it written.
    pub fn parse(scheme: &Scheme, text: &str) -> Result<Self, InvalidSecret> {
        let bytes = decode(&scheme.key, text)?;
        let verifies = scheme.algorithm.is_public_key() && scheme.certificate.is_none();
        if verifies && !is_public_key(scheme.algorithm, &bytes) {
            return Err(InvalidSecret::NotPublicKey);
        }
        let bytes = match bytes.strip_prefix(&ED25519_SPKI) {
            Some(key) if scheme.algorithm == Algorithm::Ed25519 => Zeroizing::new(key.to_vec()),
            _ => bytes,
        };
        let hmac = hmac_of(scheme.algorithm);
        let hmac = hmac.map(|algorithm| Box::new(hmac::Key::new(algorithm, &bytes)));
        Ok(Self { bytes, hmac })
    }
}

/// What a public key of Ed25519 starts with where its kind is told.
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

fn is_public_key(algorithm: Algorithm, bytes: &[u8]) -> bool {
    use aws_lc_rs::signature as s;

    let parsed = |algorithm: &'static dyn s::VerificationAlgorithm, bytes: &[u8]| {
        let key = s::ParsedPublicKey::new(algorithm, bytes);
        key.is_ok()
    };
    match algorithm {
        Algorithm::Ed25519 => {
            let key = bytes.strip_prefix(&ED25519_SPKI).unwrap_or(bytes);
            <&[u8; 32]>::try_from(key).is_ok_and(|key| !crate::ed25519::is_weak(key))
        }
        Algorithm::EcdsaP256 => parsed(&s::ECDSA_P256_SHA256_ASN1, bytes),
        _ => parsed(&s::RSA_PKCS1_2048_8192_SHA256, bytes),
    }
}

pub(super) fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HmacSha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::HmacSha256 => Some(hmac::HMAC_SHA256),
        Algorithm::HmacSha384 => Some(hmac::HMAC_SHA384),
        Algorithm::HmacSha512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

pub(super) fn decode(form: &KeyForm, text: &str) -> Result<Zeroizing<Vec<u8>>, InvalidSecret> {
    if text.len() > SECRET_LEN_MAX {
        return Err(InvalidSecret::TooLong);
    }
    let prefix = form.prefix.as_deref().unwrap_or_default();
    let text = text.strip_prefix(prefix).unwrap_or(text);
    if text.trim().is_empty() {
        return Err(InvalidSecret::Empty);
    }
    let bytes = match form.encoding {
        KeyEncoding::Utf8 => text.as_bytes().to_vec(),
        KeyEncoding::Base64 => base64(text)?,
        KeyEncoding::Hex => decode_hex(text).ok_or(InvalidSecret::NotHex)?,
        KeyEncoding::Spki => base64(&unarmored(text))?,
    };
    let bytes = Zeroizing::new(bytes);
    if bytes.is_empty() {
        return Err(InvalidSecret::Empty);
    }
    Ok(bytes)
}

fn base64(text: &str) -> Result<Vec<u8>, InvalidSecret> {
    STANDARD.decode(text).map_err(|_| InvalidSecret::NotBase64)
}

/// The base64 of a PEM text, or the text itself where it is not one.
pub(super) fn unarmored(text: &str) -> Zeroizing<String> {
    let lines = text.lines().map(str::trim);
    let mut body: String = lines.filter(|line| !line.starts_with("-----")).collect();
    body.retain(|c| !c.is_ascii_whitespace());
    Zeroizing::new(body)
}

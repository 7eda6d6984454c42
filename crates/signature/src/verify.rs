//! Decides whether a request was signed with a known key, and says why not.
//!
//! The decision is strict where the libraries in use differ from each other: one spelling of a
//! timestamp, one spelling of a signature, no full stop in an id. It is lenient in one thing only.
//! A header is a list, and an entry that makes no sense is passed over, because one good signature
//! by a trusted key proves all there is to prove.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;

use crate::ed25519::{PrivateKey, PublicKey, SIGNATURE_LEN};
use crate::id::{InvalidWebhookId, check_webhook_id};
use crate::secret::{InvalidKey, Secret, encoded_len};
use crate::sign::{Content, ED25519_VERSION, HMAC_LEN, HMAC_VERSION, hmac_key};

/// The most signatures of known versions that a request may carry.
///
/// A sender in a rotation has two or three. Each Ed25519 signature costs a verification with each
/// key, and the limit keeps one header from buying a thousand of them.
pub const SIGNATURES_MAX: usize = 32;

/// Why a request was refused, in words that tell a person where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The verifier has no key, so nothing can be trusted.
    #[error("there is no key to verify with")]
    NoKey,
    /// No `webhook-id` header.
    #[error("the `webhook-id` header is missing")]
    IdMissing,
    /// An id that no signed message may have.
    #[error("the id {0}")]
    IdInvalid(#[from] InvalidWebhookId),
    /// No `webhook-timestamp` header.
    #[error("the `webhook-timestamp` header is missing")]
    TimestampMissing,
    /// Anything but one to twelve digits without a leading zero.
    #[error("the timestamp is not a plain number of seconds since 1970")]
    TimestampMalformed,
    /// Signed longer ago than the tolerance.
    #[error(
        "the timestamp is {seconds} s in the past: a clock is wrong, the request was held up on \
         its way, or somebody repeats an old one"
    )]
    TooOld {
        /// How far the timestamp is behind `now`.
        seconds: i64,
    },
    /// Signed further in the future than the tolerance.
    #[error("the timestamp is {seconds} s in the future: a clock is wrong")]
    TooNew {
        /// How far the timestamp is ahead of `now`.
        seconds: i64,
    },
    /// No `webhook-signature` header, or only blank ones.
    #[error("the `webhook-signature` header is missing or empty")]
    SignatureMissing,
    /// Not one entry that reads as a signature, and at least one that tries to.
    #[error(
        "the signature header holds no well-formed signature: `v1,` and the padded standard \
         base64 of 32 bytes, or `v1a,` and that of 64"
    )]
    SignatureMalformed,
    /// Signatures, but of no version that the keys at hand can check.
    #[error("no signature is of a version that the keys at hand can check")]
    SignatureVersion,
    /// More than [`SIGNATURES_MAX`] signatures.
    #[error("the signature header holds more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// Well-formed signatures, none of which is right.
    #[error(
        "no signature matches: it was made with another key, or the id, the timestamp or the \
         body was changed after signing"
    )]
    SignatureMismatch,
}

/// A request as it came in: the values of its headers and the raw bytes of its body.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The `webhook-id` header, if there was one.
    pub id: Option<&'a str>,
    /// The `webhook-timestamp` header, if there was one.
    pub timestamp: Option<&'a str>,
    /// Every `webhook-signature` header, in any order.
    pub signatures: &'a [&'a str],
    /// The body before any decoding.
    pub body: &'a [u8],
}

/// A key prepared for verifying.
pub struct VerifyingKey(Kind);

enum Kind {
    // Boxed: the prepared key is three states of the hash, 1.2 KB.
    Hmac(Box<hmac::Key>),
    Ed25519(PublicKey),
}

impl VerifyingKey {
    /// Prepares the key that a text names: `whpk_…` is an Ed25519 public key, `whsk_…` a private
    /// one, of which the public half is taken, and anything else a shared secret.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.starts_with(PublicKey::PREFIX) {
            PublicKey::parse(text).map(Self::from)
        } else if text.starts_with(PrivateKey::PREFIX) {
            PrivateKey::parse(text).map(|key| Self::from(key.public_key()))
        } else {
            Secret::parse(text).map(|secret| Self::from(&secret))
        }
    }
}

impl From<&Secret> for VerifyingKey {
    fn from(secret: &Secret) -> Self {
        Self(Kind::Hmac(Box::new(hmac_key(secret))))
    }
}

impl From<PublicKey> for VerifyingKey {
    fn from(key: PublicKey) -> Self {
        Self(Kind::Ed25519(key))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The trusted keys of one sender, any of which may have signed.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
}

impl Verifier {
    /// Makes a verifier that trusts each of `keys`; with none it refuses everything.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }

    /// Accepts a request that one of the keys has signed at most `tolerance` before or after `now`.
    ///
    /// Both times count in whole seconds, as the signed one does. What costs little is checked
    /// first, so that most forgeries are refused without any cryptography. Signatures are compared
    /// in constant time.
    pub fn verify(
        &self,
        received: &Received<'_>,
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<(), Refused> {
        if self.keys.is_empty() {
            return Err(Refused::NoKey);
        }
        let id = received.id.ok_or(Refused::IdMissing)?;
        check_webhook_id(id)?;
        let timestamp = received.timestamp.ok_or(Refused::TimestampMissing)?;
        check_clock(parse_seconds(timestamp)?, now, tolerance)?;
        let signatures = Signatures::parse(received.signatures)?;
        self.check(
            &Content::received(id, timestamp, received.body),
            &signatures,
        )
    }

    fn check(&self, content: &Content<'_>, signatures: &Signatures) -> Result<(), Refused> {
        let mut any_tried = false;
        let mut contiguous = None; // Ed25519 wants the content in one piece: copied at most once.
        for VerifyingKey(key) in &self.keys {
            let matches = match key {
                Kind::Hmac(_) if signatures.hmac.is_empty() => continue,
                Kind::Ed25519(_) if signatures.ed25519.is_empty() => continue,
                Kind::Hmac(key) => {
                    let expected = content.hmac(key);
                    signatures.hmac.iter().any(|signature| {
                        constant_time::verify_slices_are_equal(expected.as_ref(), signature).is_ok()
                    })
                }
                Kind::Ed25519(key) => {
                    let content = contiguous.get_or_insert_with(|| content.to_bytes());
                    let mut signatures = signatures.ed25519.iter();
                    signatures.any(|signature| key.accepts(content, signature))
                }
            };
            if matches {
                return Ok(());
            }
            any_tried = true;
        }
        Err(if any_tried {
            Refused::SignatureMismatch
        } else {
            Refused::SignatureVersion
        })
    }
}

/// Reads `^[1-9][0-9]{0,11}$` and nothing else.
///
/// Other readers take `+5`, `05`, `5.5` or `5e0`, each of which is signed as another content.
fn parse_seconds(text: &str) -> Result<i64, Refused> {
    // A first digit from 1 to 9 leaves no room for a sign, so what parses is digits only.
    let well_formed = text.len() <= 12 && text.starts_with(|first| ('1'..='9').contains(&first));
    text.parse()
        .ok()
        .filter(|_| well_formed)
        .ok_or(Refused::TimestampMalformed)
}

fn check_clock(seconds: i64, now: Timestamp, tolerance: Duration) -> Result<(), Refused> {
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    // Neither side comes near the ends of `i64`: twelve digits, and microseconds in 64 bits.
    let behind = now.as_unix_seconds() - seconds;
    if behind > tolerance {
        Err(Refused::TooOld { seconds: behind })
    } else if -behind > tolerance {
        Err(Refused::TooNew { seconds: -behind })
    } else {
        Ok(())
    }
}

/// The well-formed signatures of a request, by version.
#[derive(Default)]
struct Signatures {
    hmac: Vec<[u8; HMAC_LEN]>,
    ed25519: Vec<[u8; SIGNATURE_LEN]>,
}

impl Signatures {
    fn parse(lines: &[&str]) -> Result<Self, Refused> {
        let mut found = Self::default();
        let mut any_malformed = false;
        let mut any_other_version = false;
        for entry in lines.iter().flat_map(|line| entries(line)) {
            match Entry::parse(entry) {
                Entry::Hmac(signature) => found.hmac.push(signature),
                Entry::Ed25519(signature) => found.ed25519.push(signature),
                Entry::OtherVersion => any_other_version = true,
                Entry::Malformed => any_malformed = true,
            }
            if found.hmac.len() + found.ed25519.len() > SIGNATURES_MAX {
                return Err(Refused::TooManySignatures);
            }
        }
        if !found.hmac.is_empty() || !found.ed25519.is_empty() {
            Ok(found)
        } else if any_malformed {
            Err(Refused::SignatureMalformed)
        } else if any_other_version {
            Err(Refused::SignatureVersion)
        } else {
            Err(Refused::SignatureMissing)
        }
    }
}

/// Splits a header's value at its spaces.
///
/// Two header lines that a proxy has merged into one have `, ` between them; that comma belongs to
/// the list and not to the entry before it. At the end of a line a comma has no such excuse.
fn entries(line: &str) -> impl Iterator<Item = &str> {
    let mut parts = line.split(' ').peekable();
    std::iter::from_fn(move || {
        let part = parts.next()?;
        let followed = parts.peek().is_some();
        Some(part.strip_suffix(',').filter(|_| followed).unwrap_or(part))
    })
    .filter(|entry| !entry.is_empty())
}

enum Entry {
    Hmac([u8; HMAC_LEN]),
    Ed25519([u8; SIGNATURE_LEN]),
    /// A version that does not exist yet: the standard says to ignore it.
    OtherVersion,
    Malformed,
}

impl Entry {
    fn parse(text: &str) -> Self {
        let Some((version, signature)) = text.split_once(',') else {
            return Self::Malformed;
        };
        match version {
            HMAC_VERSION => decode(signature).map_or(Self::Malformed, Self::Hmac),
            ED25519_VERSION => decode(signature).map_or(Self::Malformed, Self::Ed25519),
            _ => Self::OtherVersion,
        }
    }
}

/// Decodes strict base64 that holds exactly `LEN` bytes, at most those of the longest signature.
///
/// The length must be right before anything is compared: a signature that is cut short is never
/// held against the beginning of the right one.
fn decode<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    // The decoder asks for room as if there were no padding, and refuses what is longer.
    let mut buffer = [0; encoded_len(SIGNATURE_LEN) / 4 * 3];
    let len = STANDARD.decode_slice(text, &mut buffer).ok()?;
    buffer[..len].try_into().ok()
}

#[cfg(test)]
mod tests;

//! Writes the `webhook-signature` header of what posthaste sends.
//!
//! Keys are prepared once per endpoint and used for every attempt: preparing an HMAC key costs as
//! much as signing a small body. An HMAC is fed the parts of the content one after the other, so
//! the body is never copied. Ed25519 has to see the content twice, so there it is copied once.

use std::fmt;
use std::io::Write as _;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;

use crate::ed25519::{PrivateKey, SIGNATURE_LEN};
use crate::id::check_webhook_id;
use crate::secret::{InvalidKey, Secret, encoded_len};

/// What an HMAC-SHA256 signature starts with.
pub(crate) const HMAC_VERSION: &str = "v1";
/// What an Ed25519 signature starts with.
pub(crate) const ED25519_VERSION: &str = "v1a";
/// The bytes of an HMAC-SHA256 signature.
pub(crate) const HMAC_LEN: usize = 32;

/// A key prepared for signing.
pub struct SigningKey(Kind);

enum Kind {
    // Boxed: the prepared key is three states of the hash, 1.2 KB.
    Hmac(Box<hmac::Key>),
    Ed25519(PrivateKey),
}

impl SigningKey {
    /// Prepares the key that an endpoint's secret text names: `whsk_…` is an Ed25519 private key,
    /// anything else a shared secret.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.starts_with(PrivateKey::PREFIX) {
            PrivateKey::parse(text).map(Self::from)
        } else {
            Secret::parse(text).map(|secret| Self::from(&secret))
        }
    }

    /// Appends one signature, such as `v1,tZ1I4/hDyg…`, to `out`.
    ///
    /// `at` is the time of the attempt; its whole second is signed and must be sent as
    /// `webhook-timestamp`.
    ///
    /// # Panics
    ///
    /// When `id` does not pass [`check_webhook_id`]: signing such an id makes a forgery possible.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8], out: &mut String) {
        out.reserve(self.signature_len());
        self.append(&Content::new(id, &Seconds::new(at), body), out);
    }

    /// Returns how many characters each of this key's signatures has, version included.
    fn signature_len(&self) -> usize {
        match self.0 {
            Kind::Hmac(_) => HMAC_VERSION.len() + 1 + encoded_len(HMAC_LEN),
            Kind::Ed25519(_) => ED25519_VERSION.len() + 1 + encoded_len(SIGNATURE_LEN),
        }
    }

    fn append(&self, content: &Content<'_>, out: &mut String) {
        match &self.0 {
            Kind::Hmac(key) => append(HMAC_VERSION, content.hmac(key).as_ref(), out),
            Kind::Ed25519(key) => append(ED25519_VERSION, &key.sign(&content.to_bytes()), out),
        }
    }
}

impl From<&Secret> for SigningKey {
    fn from(secret: &Secret) -> Self {
        Self(Kind::Hmac(Box::new(hmac_key(secret))))
    }
}

impl From<PrivateKey> for SigningKey {
    fn from(key: PrivateKey) -> Self {
        Self(Kind::Ed25519(key))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The live keys of one endpoint: the current one, and during a rotation the earlier ones.
#[derive(Debug)]
pub struct Signer {
    keys: Vec<SigningKey>, // Never empty: `new` takes the current key apart.
    header_len: usize,
}

impl Signer {
    /// Makes a signer whose headers carry one signature for each key, the current key's first.
    pub fn new(current: SigningKey, earlier: impl IntoIterator<Item = SigningKey>) -> Self {
        let keys: Vec<_> = std::iter::once(current).chain(earlier).collect();
        let signatures: usize = keys.iter().map(SigningKey::signature_len).sum();
        Self {
            header_len: signatures + keys.len() - 1,
            keys,
        }
    }

    /// Returns how many characters [`Signer::sign`] appends.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Appends the value of the `webhook-signature` header to `out`: signatures, one space apart.
    ///
    /// `at` is the time of the attempt; its whole second is signed and must be sent as
    /// `webhook-timestamp`. Allocates nothing but room in `out` (Ed25519 keys apart).
    ///
    /// # Panics
    ///
    /// When `id` does not pass [`check_webhook_id`]: signing such an id makes a forgery possible.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8], out: &mut String) {
        out.reserve(self.header_len);
        let seconds = Seconds::new(at);
        let content = Content::new(id, &seconds, body);
        for (index, key) in self.keys.iter().enumerate() {
            // A receiver's library may split at each space: two in a row crash some of them.
            if index > 0 {
                out.push(' ');
            }
            key.append(&content, out);
        }
    }
}

pub(crate) fn hmac_key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

fn append(version: &str, signature: &[u8], out: &mut String) {
    out.push_str(version);
    out.push(',');
    STANDARD.encode_string(signature, out);
}

/// Whole seconds in decimal, without an allocation.
struct Seconds {
    digits: [u8; Self::LEN_MAX],
    len: usize,
}

impl Seconds {
    /// The length of `i64::MIN` in decimal.
    const LEN_MAX: usize = 20;

    fn new(at: Timestamp) -> Self {
        let mut digits = [0; Self::LEN_MAX];
        let mut rest = digits.as_mut_slice();
        write!(rest, "{}", at.as_unix_seconds()).expect("20 characters hold every i64");
        let len = Self::LEN_MAX - rest.len();
        Self { digits, len }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.len]).expect("decimal digits are ASCII")
    }
}

/// What is signed: `id.timestamp.body`, kept in its parts.
pub(crate) struct Content<'a> {
    id: &'a str,
    timestamp: &'a str,
    body: &'a [u8],
}

impl<'a> Content<'a> {
    fn new(id: &'a str, seconds: &'a Seconds, body: &'a [u8]) -> Self {
        check_webhook_id(id).expect("the caller signs no id that fails `check_webhook_id`");
        Self {
            id,
            timestamp: seconds.as_str(),
            body,
        }
    }

    /// Takes over parts that a request carried and that were checked already.
    pub(crate) fn received(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> Self {
        Self {
            id,
            timestamp,
            body,
        }
    }

    pub(crate) fn hmac(&self, key: &hmac::Key) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        context.update(self.id.as_bytes());
        context.update(b".");
        context.update(self.timestamp.as_bytes());
        context.update(b".");
        context.update(self.body);
        context.sign()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [self.id.as_bytes(), self.timestamp.as_bytes(), self.body].join(&b'.')
    }
}

#[cfg(test)]
mod tests;

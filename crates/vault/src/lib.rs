//! Seals secrets before they are stored, and opens them again.
//!
//! Endpoints' signing secrets and custom headers are stored as ciphertext only: whoever holds a
//! copy of the data without the master key holds none of them. A ciphertext is bound to what it
//! belongs to ([`Binding`]), so one that was moved to another row, or to another column of its own
//! row, does not open.
//!
//! Sealed bytes name their format and their key, so the master key can be changed while old rows
//! are still sealed with the earlier one:
//!
//! | Bytes | What |
//! |---|---|
//! | 1 | version of the format, 1 |
//! | 8 | id of the master key |
//! | 12 | nonce |
//! | as the plaintext | ciphertext, AES-256-GCM-SIV |
//! | 16 | authentication tag |
//!
//! What this crate relies on: the caller draws each nonce at random. GCM-SIV forgives a repeated
//! nonce: it then shows whether two plaintexts are equal, and nothing else. What it does not do: it
//! reads no file, draws no random bytes, and hides neither that a secret exists nor how long it is.
#![warn(missing_docs)]

mod master_key;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use domain::EndpointId;
use zeroize::Zeroizing;

pub use master_key::{InvalidMasterKey, KeyId, MasterKey};

/// The version of the format, the first of the sealed bytes.
const VERSION: u8 = 1;
const HEAD_LEN: usize = 1 + KeyId::LEN + NONCE_LEN;
const TAG_LEN: usize = 16;

/// What a sealed text is for. The numbers are part of the format and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A signing secret of an endpoint.
    EndpointSecret = 1,
    /// The custom headers of an endpoint.
    EndpointHeaders = 2,
    /// A secret that a source's requests are verified with.
    SourceSecret = 3,
    /// The token in a source's URL.
    SourceToken = 4,
    /// Headers of an inbound request that hold credentials.
    RequestCredentials = 5,
}

/// What a sealed text belongs to; it opens only with the binding that it was sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What the text is for.
    pub purpose: Purpose,
    /// The bits of the owner's id.
    pub owner: u128,
}

impl Binding {
    /// Binds a signing secret to its endpoint.
    pub const fn endpoint_secret(endpoint: EndpointId) -> Self {
        Self {
            purpose: Purpose::EndpointSecret,
            owner: endpoint.bits(),
        }
    }

    /// Binds custom headers to their endpoint.
    pub const fn endpoint_headers(endpoint: EndpointId) -> Self {
        Self {
            purpose: Purpose::EndpointHeaders,
            owner: endpoint.bits(),
        }
    }

    /// Returns what is authenticated beside the ciphertext, always of one length.
    fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[0] = VERSION;
        bytes[1] = self.purpose as u8;
        bytes[2..].copy_from_slice(&self.owner.to_be_bytes());
        bytes
    }
}

/// Sealed bytes that could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed with a key that the vault does not have.
    #[error("sealed with the master key {id}, which is not among the configured ones")]
    UnknownKey {
        /// Which key is needed.
        id: KeyId,
    },
    /// Changed since they were sealed, or sealed for another owner or purpose.
    #[error("the sealed bytes were changed, or belong to another row or purpose")]
    Damaged,
    /// Too short, or of a version of the format that is not known.
    #[error("not in a format that this vault seals")]
    Malformed,
}

/// The master keys, ready for use: one that seals, and those that still open.
pub struct Vault {
    current: Prepared,
    earlier: Vec<Prepared>,
}

struct Prepared {
    id: KeyId,
    key: LessSafeKey,
    tokens: hmac::Key,
}

impl Prepared {
    fn new(key: &MasterKey) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, key.as_bytes())
            .expect("a master key has the 32 bytes that AES-256 takes");
        Self {
            id: key.id(),
            key: LessSafeKey::new(unbound),
            tokens: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
        }
    }
}

impl Vault {
    /// Makes a vault that seals with `current` and opens what any of the keys has sealed.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the keys are wiped here, because nobody needs them once they are prepared"
    )]
    pub fn new(current: MasterKey, earlier: Vec<MasterKey>) -> Self {
        Self {
            current: Prepared::new(&current),
            earlier: earlier.iter().map(Prepared::new).collect(),
        }
    }

    /// Seals `plaintext` for `binding`; `nonce` is random bytes of the caller's, drawn anew for
    /// each call.
    pub fn seal(&self, plaintext: &[u8], binding: &Binding, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        // Room for all of it, so that no reallocation leaves the plaintext behind.
        let mut sealed = Vec::with_capacity(HEAD_LEN + plaintext.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.current.id.to_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let tag = self
            .current
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(binding.to_bytes()),
                &mut sealed[HEAD_LEN..],
            )
            .expect("no secret comes near the cipher's limit of 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Computes the secret part of a portal token from its id, always the same for one master key.
    ///
    /// So a token can be shown again to whoever repeats the request that made it, although only
    /// its hash is stored.
    pub fn portal_token(&self, id: u128) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.current.tokens);
        context.update(b"posthaste portal token\0");
        context.update(&id.to_be_bytes());
        let tag = context.sign();
        *tag.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// Opens what this vault, or an earlier one with the same key, sealed for `binding`.
    pub fn open(&self, sealed: &[u8], binding: &Binding) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let parts = Parts::split(sealed).ok_or(OpenError::Malformed)?;
        let prepared = std::iter::once(&self.current)
            .chain(&self.earlier)
            .find(|prepared| prepared.id == parts.key)
            .ok_or(OpenError::UnknownKey { id: parts.key })?;
        let mut plaintext = Zeroizing::new(parts.ciphertext.to_vec());
        prepared
            .key
            .open_in_place_separate_tag(
                Nonce::assume_unique_for_key(parts.nonce),
                Aad::from(binding.to_bytes()),
                parts.tag,
                &mut plaintext,
            )
            .map_err(|_| OpenError::Damaged)?;
        Ok(plaintext)
    }

    /// Says whether there are earlier keys, so that something may have to be sealed anew.
    pub fn has_earlier(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Says whether `sealed` names another key than the current one, or none at all.
    ///
    /// Once no stored row does, the earlier keys can be taken out of the configuration.
    pub fn needs_resealing(&self, sealed: &[u8]) -> bool {
        Parts::split(sealed).is_none_or(|parts| parts.key != self.current.id)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let earlier: Vec<_> = self.earlier.iter().map(|key| key.id).collect();
        f.debug_struct("Vault")
            .field("current", &self.current.id)
            .field("earlier", &earlier)
            .finish_non_exhaustive()
    }
}

struct Parts<'a> {
    key: KeyId,
    nonce: [u8; NONCE_LEN],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl<'a> Parts<'a> {
    fn split(sealed: &'a [u8]) -> Option<Self> {
        let rest = sealed.strip_prefix(&[VERSION])?;
        let (key, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Self {
            key: KeyId::from_bytes(*key),
            nonce: *nonce,
            ciphertext,
            tag,
        })
    }
}

#[cfg(test)]
mod tests;

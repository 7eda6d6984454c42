//! API keys, stored as hashes.

use domain::{ApiKeyId, OrganizationKey, Timestamp};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything in its organization.
    Admin,
}

/// An API key to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// Its public id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organization: OrganizationKey,
    /// For people.
    pub name: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scope: Scope,
    /// Now.
    pub now: Timestamp,
}

/// An API key as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its public id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organization: OrganizationKey,
    /// For people.
    pub name: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scope: Scope,
}

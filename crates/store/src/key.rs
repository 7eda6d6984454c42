//! API keys, stored as hashes.

use domain::{ApiKeyId, OrganizationKey, Timestamp};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything there is.
    Admin,
    /// Reading whatever is no secret.
    Read,
    /// Publishing and nothing else.
    Publish,
    /// What a customer does in the portal, within its one application.
    Portal,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Read, Self::Publish, Self::Portal];

    /// Returns its name, as stored and as shown.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Portal => "portal",
        }
    }

    /// Reads back a name.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.slug() == slug)
    }
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

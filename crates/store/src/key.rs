//! API keys and portal tokens, stored as hashes, and what each of them may do.

use async_trait::async_trait;
use domain::{
    ApiKeyId, ApplicationId, ApplicationKey, EndpointKey, OrganizationId, OrganizationKey,
    Timestamp,
};

use crate::{Endpoint, Error, Idempotency, Page, PageRequest, Sealed, Write};

/// Organizations, and the keys that speak for them.
///
/// Portal tokens are keys too: short-lived ones of one application, which no list of keys shows.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Returns the first organization's row, made at first start with the id given.
    async fn ensure_organization(
        &self,
        id: OrganizationId,
        now: Timestamp,
    ) -> Result<OrganizationKey, Error>;

    /// Makes one more organization; `Conflict` when there is one with this id.
    async fn create_organization(
        &self,
        id: OrganizationId,
        now: Timestamp,
    ) -> Result<OrganizationKey, Error>;

    /// Stores an API key by its hash.
    ///
    /// # Contract
    ///
    /// - `Conflict` when a key has this id or hash; `NotFound` when its application does not
    ///   exist in the organization.
    /// - `Limit` beyond `keys_max`; portal tokens neither count nor are refused.
    /// - A known idempotency key answers `Write::Replayed` with the key as it is now.
    async fn create_api_key(&self, new: NewApiKey) -> Result<Write<ApiKeyRow>, Error>;

    /// Finds the key with this hash (SHA-256 of the whole token), expired or not.
    async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, Error>;

    /// Reads one key of an organization; `None` for a portal token.
    async fn api_key_by_id(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, Error>;

    /// Reads what a portal token allows; `None` for other keys and none.
    async fn portal_session(&self, id: ApiKeyId) -> Result<Option<PortalSession>, Error>;

    /// Lists the keys of an organization by id, portal tokens left out.
    async fn api_keys(
        &self,
        organization: OrganizationKey,
        page: PageRequest<ApiKeyId>,
    ) -> Result<Page<ApiKeyRow>, Error>;

    /// Counts the API keys that exist.
    async fn api_key_count(&self) -> Result<u64, Error>;

    /// Changes a key of an organization; `NotFound` when there is none.
    ///
    /// # Contract
    ///
    /// - `Refused` when the organization would be left without an admin key that does not expire.
    async fn update_api_key(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
        change: ApiKeyChange,
    ) -> Result<ApiKeyRow, Error>;

    /// Revokes a key or a portal token of an organization; `Refused` as for changing.
    ///
    /// Deleting an application revokes its keys.
    async fn delete_api_key(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Lets the portal tokens of an application end at a time, those of some sessions only when
    /// any are named. None lives longer by it. Returns how many it concerned.
    async fn expire_portal_tokens(
        &self,
        application: ApplicationKey,
        sessions: Vec<String>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<u64, Error>;

    /// Notes when keys were last used; never sets such a time back.
    async fn note_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), Error>;

    /// Lists endpoints of all organizations by key, for sealing their secrets anew; deleted ones,
    /// whose rows still exist, are in.
    async fn endpoints_sealed(
        &self,
        after: EndpointKey,
        limit: u16,
    ) -> Result<Vec<Endpoint>, Error>;

    /// Puts what was sealed anew in the place of what was sealed before, in one transaction;
    /// returns how much was still there to be replaced.
    ///
    /// # Contract
    ///
    /// - Replaces a secret or the headers of the endpoint only where they are still the same bytes:
    ///   what was changed meanwhile stays.
    /// - Changes neither the endpoint's version nor the routing version.
    async fn reseal(&self, resealed: Vec<Resealed>) -> Result<u64, Error>;

    /// Erases portal tokens that have expired, at most `rows`; returns how many.
    async fn erase_expired_tokens(&self, now: Timestamp, rows: u16) -> Result<u64, Error>;
}

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

/// One thing that a portal token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Reading what is no secret.
    ViewBase,
    /// Reading the signing secrets of endpoints.
    ViewEndpointSecret,
    /// Reading and rotating them.
    ManageEndpointSecret,
    /// Changing transformations.
    ManageTransformations,
    /// Sending messages again, and examples.
    CreateAttempts,
    /// Changing endpoints, their headers included.
    ManageEndpoint,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 6] = [
        Self::ViewBase,
        Self::ViewEndpointSecret,
        Self::ManageEndpointSecret,
        Self::ManageTransformations,
        Self::CreateAttempts,
        Self::ManageEndpoint,
    ];

    /// Returns its name, as stored and as on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ViewBase => "ViewBase",
            Self::ViewEndpointSecret => "ViewEndpointSecret",
            Self::ManageEndpointSecret => "ManageEndpointSecret",
            Self::ManageTransformations => "ManageTransformations",
            Self::CreateAttempts => "CreateAttempts",
            Self::ManageEndpoint => "ManageEndpoint",
        }
    }

    /// Reads back a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// No capability: what a key that is no portal token has.
    pub const NONE: Self = Self(0);

    /// Returns the set with every capability.
    pub fn all() -> Self {
        Capability::ALL.into_iter().collect()
    }

    /// Says whether this one is in the set.
    pub const fn has(self, one: Capability) -> bool {
        self.0 & (1 << one as u8) != 0
    }

    /// Lists the set.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL
            .into_iter()
            .filter(move |one| self.has(*one))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, one| set | (1 << one as u8)))
    }
}

/// How much a key may do in a time. `None` is what the settings say, 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyQuota {
    /// Requests per second, and messages of a batch.
    pub requests_per_second: Option<u32>,
    /// So many at once after a pause.
    pub burst: Option<u32>,
    /// Messages published per day, UTC.
    pub messages_per_day: Option<u32>,
}

/// What only portal tokens have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortalSession {
    /// What the token allows.
    pub capabilities: Capabilities,
    /// Event types behind these flags are shown.
    pub feature_flags: Vec<String>,
    /// Names the tokens that are to expire together.
    pub session: Option<String>,
}

/// A secret or the headers of an endpoint, sealed with another master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// Whose.
    pub endpoint: EndpointKey,
    /// What is stored.
    pub old: Sealed,
    /// What is to be stored.
    pub new: Sealed,
}

/// An API key to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// Its public id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organization: OrganizationKey,
    /// The one application it is held to.
    pub application: Option<ApplicationKey>,
    /// For people.
    pub name: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    /// The beginning of the token, by which people tell keys apart.
    pub prefix: String,
    /// What it may do.
    pub scope: Scope,
    /// What it is when its scope is `Portal`.
    pub portal: Option<PortalSession>,
    /// How much it may do.
    pub quota: KeyQuota,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// Beyond so many keys of the organization, refuse, portal tokens not counted and not
    /// refused: `limits.keys`.
    pub keys_max: u64,
    /// Now.
    pub now: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// An API key as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its public id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organization: OrganizationKey,
    /// The one application it is held to.
    pub application: Option<ApplicationKey>,
    /// That application's id.
    pub application_id: Option<ApplicationId>,
    /// For people.
    pub name: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    /// The beginning of the token.
    pub prefix: String,
    /// What it may do.
    pub scope: Scope,
    /// What it is when its scope is `Portal`.
    pub portal: Option<PortalSession>,
    /// How much it may do.
    pub quota: KeyQuota,
    /// When it was created.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    pub used: Option<Timestamp>,
}

/// A change of an API key; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeyChange {
    /// For people.
    pub name: Option<String>,
    /// From when on it is refused, or never.
    pub expires: Option<Option<Timestamp>>,
    /// How much it may do.
    pub quota: Option<KeyQuota>,
    /// Now.
    pub now: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_capabilities_has_what_was_put_in() {
        assert_eq!(Capabilities::all().iter().count(), Capability::ALL.len());
        assert_eq!(Capabilities::NONE.iter().count(), 0);
        for one in Capability::ALL {
            let set: Capabilities = [one].into_iter().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), [one]);
            assert_eq!(Capability::from_name(one.name()), Some(one));
        }
    }
}

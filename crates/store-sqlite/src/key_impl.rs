//! The contract of keys: each method goes to the writer or to a reader.

use async_trait::async_trait;
use domain::{ApiKeyId, ApplicationKey, EndpointKey, OrganizationId, OrganizationKey, Timestamp};
use store::{
    ApiKeyChange, ApiKeyRow, Endpoint, Error, KeyStore, NewApiKey, Page, PageRequest,
    PortalSession, Resealed, Write,
};

use crate::{SqliteStore, endpoint, key};

#[async_trait]
impl KeyStore for SqliteStore {
    async fn ensure_organization(
        &self,
        id: OrganizationId,
        now: Timestamp,
    ) -> Result<OrganizationKey, Error> {
        self.write(move |tx| key::ensure_organization(tx, id, now))
            .await
    }

    async fn create_organization(
        &self,
        id: OrganizationId,
        now: Timestamp,
    ) -> Result<OrganizationKey, Error> {
        self.write(move |tx| key::create_organization(tx, id, now))
            .await
    }

    async fn create_api_key(&self, new: NewApiKey) -> Result<Write<ApiKeyRow>, Error> {
        self.write(move |tx| key::create(tx, &new)).await
    }

    async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, Error> {
        let hash = *hash;
        self.read(move |c, _| key::by_hash(c, &hash)).await
    }

    async fn api_key_by_id(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, Error> {
        self.read(move |c, _| key::by_id(c, organization, id)).await
    }

    async fn portal_session(&self, id: ApiKeyId) -> Result<Option<PortalSession>, Error> {
        self.read(move |c, _| key::portal_session(c, id)).await
    }

    async fn api_keys(
        &self,
        organization: OrganizationKey,
        page: PageRequest<ApiKeyId>,
    ) -> Result<Page<ApiKeyRow>, Error> {
        self.read(move |c, _| key::list(c, organization, &page))
            .await
    }

    async fn api_key_count(&self) -> Result<u64, Error> {
        self.read(move |c, _| key::count(c)).await
    }

    async fn update_api_key(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
        change: ApiKeyChange,
    ) -> Result<ApiKeyRow, Error> {
        self.write(move |tx| key::update(tx, organization, id, &change))
            .await
    }

    async fn delete_api_key(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(move |tx| key::delete(tx, organization, id, now))
            .await
    }

    async fn expire_portal_tokens(
        &self,
        application: ApplicationKey,
        sessions: Vec<String>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.write(move |tx| key::expire_portal_tokens(tx, application, &sessions, at, now))
            .await
    }

    async fn note_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), Error> {
        self.write(move |tx| key::note_uses(tx, &uses)).await
    }

    async fn endpoints_sealed(
        &self,
        after: EndpointKey,
        limit: u16,
    ) -> Result<Vec<Endpoint>, Error> {
        self.read(move |c, _| endpoint::after(c, after, limit))
            .await
    }

    async fn reseal(&self, resealed: Vec<Resealed>) -> Result<u64, Error> {
        self.write(move |tx| endpoint::reseal(tx, &resealed)).await
    }

    async fn erase_expired_tokens(&self, now: Timestamp, rows: u16) -> Result<u64, Error> {
        self.write(move |tx| key::erase_expired(tx, now, rows))
            .await
    }
}

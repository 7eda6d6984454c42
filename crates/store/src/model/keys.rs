//! Organizations and API keys.

use async_trait::async_trait;
use domain::{
    ApiKeyId, ApplicationId, ApplicationKey, EndpointKey, OrganizationId, OrganizationKey,
    Timestamp,
};

use super::admin::refuse_beyond;
use super::audit::Sides;
use super::lists::plain_page_of;
use super::{Effect, Model, State};
use crate::{
    ApiKeyChange, ApiKeyRow, Endpoint, Error, KeyStore, NewApiKey, Page, PageRequest,
    PortalSession, Resealed, Scope, Write,
};

impl State {
    fn ensure_organization(&mut self, id: OrganizationId) -> OrganizationKey {
        if self.organizations.is_empty() {
            self.organizations.push(id);
        }
        OrganizationKey(1)
    }

    fn create_organization(&mut self, id: OrganizationId) -> Result<OrganizationKey, Error> {
        if self.organizations.contains(&id) {
            return Err(Error::Conflict("organization"));
        }
        self.organizations.push(id);
        let count = i64::try_from(self.organizations.len()).expect("few organizations");
        Ok(OrganizationKey(count))
    }

    fn create_api_key(&mut self, new: NewApiKey) -> Result<Write<ApiKeyRow>, Error> {
        let idempotency = new.idempotency.as_ref();
        if let Some(Effect::ApiKey(id)) = self.effect(idempotency, new.now)? {
            let found = self.api_keys.iter().find(|key| key.id == id);
            return found
                .map(|found| Write::Replayed(found.clone()))
                .ok_or(Error::NotFound("API key"));
        }
        let known = |key: &ApiKeyRow| key.id == new.id || key.hash == new.hash;
        if self.api_keys.iter().any(known) {
            return Err(Error::Conflict("API key"));
        }
        let application_id = new
            .application
            .map(|key| self.live_application_id(new.organization, key))
            .transpose()?;
        if new.scope != Scope::Portal {
            let own = self
                .api_keys
                .iter()
                .filter(|key| key.organization == new.organization && key.scope != Scope::Portal);
            refuse_beyond("keys", own.count(), new.keys_max)?;
        }
        self.remember(idempotency, new.now, Effect::ApiKey(new.id));
        let row = ApiKeyRow {
            id: new.id,
            organization: new.organization,
            application: new.application,
            application_id,
            name: new.name,
            hash: new.hash,
            prefix: new.prefix,
            scope: new.scope,
            portal: new.portal,
            quota: new.quota,
            created: new.now,
            expires: new.expires,
            used: None,
        };
        self.api_keys.push(row.clone());
        self.note_key(new.now, "create", &row, (None, Some(&row)));
        Ok(Write::Done(row))
    }

    fn note_key(&mut self, now: Timestamp, verb: &str, row: &ApiKeyRow, sides: Sides<'_>) {
        let noun = match row.scope {
            Scope::Portal => "portal_token",
            Scope::Admin | Scope::Read | Scope::Publish => "api_key",
        };
        let action = format!("{noun}.{verb}");
        let named = (row.id.to_string(), row.application_id);
        self.note(row.organization, (now, &action), named, sides);
    }

    fn live_application_id(
        &self,
        organization: OrganizationKey,
        key: ApplicationKey,
    ) -> Result<ApplicationId, Error> {
        self.applications
            .get(&key)
            .filter(|found| found.deleted.is_none() && found.organization == organization)
            .map(|found| found.row.id)
            .ok_or(Error::NotFound("application"))
    }

    fn position(&self, organization: OrganizationKey, id: ApiKeyId) -> Result<usize, Error> {
        self.api_keys
            .iter()
            .position(|key| key.id == id && key.organization == organization)
            .ok_or(Error::NotFound("API key"))
    }

    /// Refuses when no other admin key of the whole organization stays for ever.
    fn refuse_last_admin(&self, key: &ApiKeyRow) -> Result<(), Error> {
        let lasts = |key: &ApiKeyRow| {
            key.scope == Scope::Admin && key.application.is_none() && key.expires.is_none()
        };
        let mut others = self
            .api_keys
            .iter()
            .filter(|other| other.organization == key.organization && other.id != key.id);
        if lasts(key) && !others.any(lasts) {
            return Err(Error::Refused(
                "this is the last admin key that does not expire; create another one first",
            ));
        }
        Ok(())
    }

    fn update_api_key(
        &mut self,
        organization: OrganizationKey,
        id: ApiKeyId,
        change: ApiKeyChange,
    ) -> Result<ApiKeyRow, Error> {
        let position = self.position(organization, id)?;
        if self.api_keys[position].scope == Scope::Portal {
            return Err(Error::NotFound("API key"));
        }
        if matches!(change.expires, Some(Some(_))) {
            self.refuse_last_admin(&self.api_keys[position])?;
        }
        let row = &mut self.api_keys[position];
        let before = row.clone();
        row.name = change.name.unwrap_or_else(|| row.name.clone());
        row.expires = change.expires.unwrap_or(row.expires);
        row.quota = change.quota.unwrap_or(row.quota);
        let row = row.clone();
        self.note_key(change.now, "update", &row, (Some(&before), Some(&row)));
        Ok(row)
    }

    fn reseal(&mut self, resealed: &Resealed) -> u64 {
        let Some(endpoint) = self.endpoints.get_mut(&resealed.endpoint) else {
            return 0;
        };
        let secrets = endpoint.secrets.iter_mut().map(|secret| &mut secret.sealed);
        let mut count = 0;
        for sealed in secrets.chain(endpoint.headers.as_mut()) {
            if *sealed == resealed.old {
                sealed.clone_from(&resealed.new);
                count += 1;
            }
        }
        for (_, effect) in self.idempotency.values_mut() {
            if let Effect::Rotation(_, sealed) = effect
                && *sealed == resealed.old
            {
                sealed.clone_from(&resealed.new);
            }
        }
        count
    }

    fn expire_portal_tokens(
        &mut self,
        application: ApplicationKey,
        sessions: &[String],
        at: Timestamp,
    ) -> u64 {
        let mut count = 0;
        for key in &mut self.api_keys {
            let Some(portal) = &key.portal else { continue };
            let named = portal
                .session
                .as_ref()
                .is_some_and(|s| sessions.contains(s));
            if key.application == Some(application) && (sessions.is_empty() || named) {
                key.expires = Some(key.expires.map_or(at, |end| end.min(at)));
                count += 1;
            }
        }
        count
    }
}

#[async_trait]
impl KeyStore for Model {
    async fn ensure_organization(
        &self,
        id: OrganizationId,
        _now: Timestamp,
    ) -> Result<OrganizationKey, Error> {
        self.write(|state| Ok(state.ensure_organization(id)))
    }

    async fn create_organization(
        &self,
        id: OrganizationId,
        _now: Timestamp,
    ) -> Result<OrganizationKey, Error> {
        self.write(|state| state.create_organization(id))
    }

    async fn create_api_key(&self, new: NewApiKey) -> Result<Write<ApiKeyRow>, Error> {
        self.write(|state| state.create_api_key(new))
    }

    async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, Error> {
        let state = self.state();
        Ok(state.api_keys.iter().find(|key| key.hash == *hash).cloned())
    }

    async fn api_key_by_id(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
    ) -> Result<Option<ApiKeyRow>, Error> {
        let state = self.state();
        let found = state.position(organization, id).ok();
        let found = found.map(|at| state.api_keys[at].clone());
        Ok(found.filter(|key| key.scope != Scope::Portal))
    }

    async fn portal_session(&self, id: ApiKeyId) -> Result<Option<PortalSession>, Error> {
        let state = self.state();
        let found = state.api_keys.iter().find(|key| key.id == id);
        Ok(found.and_then(|key| key.portal.clone()))
    }

    async fn api_keys(
        &self,
        organization: OrganizationKey,
        page: PageRequest<ApiKeyId>,
    ) -> Result<Page<ApiKeyRow>, Error> {
        let state = self.state();
        let mut rows: Vec<_> = state
            .api_keys
            .iter()
            .filter(|key| key.organization == organization && key.scope != Scope::Portal)
            .map(|key| (key.id, key.clone()))
            .collect();
        rows.sort_by_key(|(id, _)| *id);
        Ok(plain_page_of(rows, &page))
    }

    async fn api_key_count(&self) -> Result<u64, Error> {
        Ok(self.state().api_keys.len() as u64)
    }

    async fn update_api_key(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
        change: ApiKeyChange,
    ) -> Result<ApiKeyRow, Error> {
        self.write(|state| state.update_api_key(organization, id, change))
    }

    async fn delete_api_key(
        &self,
        organization: OrganizationKey,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(|state| {
            let position = state.position(organization, id)?;
            state.refuse_last_admin(&state.api_keys[position])?;
            let row = state.api_keys.remove(position);
            state.note_key(now, "delete", &row, (Some(&row), None));
            Ok(())
        })
    }

    async fn expire_portal_tokens(
        &self,
        application: ApplicationKey,
        sessions: Vec<String>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.write(|state| {
            let organization = state.organization_of(application);
            let id = state.applications[&application].row.id;
            let done = (now, "portal_token.expire_all");
            state.note(organization, done, (id.to_string(), Some(id)), (None, None));
            Ok(state.expire_portal_tokens(application, &sessions, at))
        })
    }

    async fn note_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), Error> {
        self.write(|state| {
            for (id, at) in uses {
                let key = state.api_keys.iter_mut().find(|key| key.id == id);
                if let Some(key) = key {
                    key.used = key.used.max(Some(at));
                }
            }
            Ok(())
        })
    }

    async fn endpoints_sealed(
        &self,
        after: EndpointKey,
        limit: u16,
    ) -> Result<Vec<Endpoint>, Error> {
        let state = self.state();
        let all = state.endpoints.keys().filter(|key| **key > after);
        Ok(all
            .filter_map(|key| state.by_key(*key))
            .take(limit.into())
            .collect())
    }

    async fn reseal(&self, resealed: Vec<Resealed>) -> Result<u64, Error> {
        self.write(|state| Ok(resealed.iter().map(|one| state.reseal(one)).sum()))
    }

    async fn erase_expired_tokens(&self, now: Timestamp, rows: u16) -> Result<u64, Error> {
        self.write(|state| {
            let mut left = u64::from(rows);
            state.api_keys.retain(|key| {
                let expired = key.expires.is_some_and(|end| end <= now);
                let erased = expired && key.scope == Scope::Portal && left > 0;
                left -= u64::from(erased);
                !erased
            });
            Ok(u64::from(rows) - left)
        })
    }
}

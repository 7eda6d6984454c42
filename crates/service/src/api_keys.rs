//! Making, changing and revoking API keys.

use domain::{ApiKeyId, Timestamp};
use store::{
    ApiKeyChange, ApiKeyRow, ApplicationRef, Idempotency, KeyQuota, NewApiKey, Page, PageRequest,
    Scope, Write,
};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::keys::{hash_of, prefix_of};

/// An API key as a caller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyInput {
    /// For people.
    pub name: String,
    /// What it may do; not `Portal`.
    pub scope: Scope,
    /// The one application it is held to.
    pub application: Option<ApplicationRef>,
    /// From when on it is refused, RFC 3339.
    pub expires: Option<String>,
    /// How much it may do.
    pub quota: KeyQuota,
}

/// Some fields of an API key; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeyPatch {
    /// For people.
    pub name: Option<String>,
    /// From when on it is refused, RFC 3339, or never.
    pub expires: Option<Option<String>>,
    /// How much it may do; each part `None` to leave it.
    pub quota: QuotaPatch,
}

/// Some parts of a quota; `None` leaves a part, `Some(None)` is what the settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaPatch {
    /// Requests per second.
    pub requests_per_second: Option<Option<u32>>,
    /// So many at once after a pause.
    pub burst: Option<Option<u32>>,
    /// Messages per day.
    pub messages_per_day: Option<Option<u32>>,
}

impl QuotaPatch {
    fn of(self, before: KeyQuota) -> KeyQuota {
        let per_second = self.requests_per_second;
        KeyQuota {
            requests_per_second: per_second.unwrap_or(before.requests_per_second),
            burst: self.burst.unwrap_or(before.burst),
            messages_per_day: self.messages_per_day.unwrap_or(before.messages_per_day),
        }
    }
}

impl Service {
    /// Makes an API key. Its token is returned this once, and not at all when the request is a
    /// repeated one: only its hash is kept.
    pub async fn create_api_key(
        &self,
        caller: Caller,
        input: ApiKeyInput,
        idempotency: Option<Idempotency>,
    ) -> Result<(ApiKeyRow, Option<String>), Error> {
        let now = self.now();
        let mut fields = Fields::default();
        fields.text("name", &input.name, 1, self.limits().name_chars);
        let expires = input
            .expires
            .as_deref()
            .and_then(|text| expiry(&mut fields, text, now));
        fields.check()?;
        let application = match &input.application {
            None => None,
            Some(named) => match self.application(caller, named).await {
                Ok(found) => Some(found.key),
                Err(Error::NotFound(_)) => {
                    return Err(Error::field(&["application"], "does not exist"));
                }
                Err(error) => return Err(error),
            },
        };
        let token = self.fresh_token();
        let new = NewApiKey {
            id: ApiKeyId::from_bits(self.fresh_id(now)),
            organization: caller.organization,
            application,
            name: input.name,
            hash: hash_of(token.as_bytes()),
            prefix: prefix_of(&token),
            scope: input.scope,
            portal: None,
            quota: input.quota,
            expires,
            keys_max: self.limits().keys as u64,
            now,
            idempotency,
        };
        Ok(match self.store_as(caller).create_api_key(new).await? {
            Write::Done(row) => (row, Some(token)),
            Write::Replayed(row) => (row, None),
        })
    }

    /// Reads one API key; nobody can read its token.
    pub async fn api_key(&self, caller: Caller, id: ApiKeyId) -> Result<ApiKeyRow, Error> {
        self.store()
            .api_key_by_id(caller.organization, id)
            .await?
            .ok_or(Error::NotFound("API key"))
    }

    /// Lists API keys by id.
    pub async fn api_keys(
        &self,
        caller: Caller,
        page: PageRequest<ApiKeyId>,
    ) -> Result<Page<ApiKeyRow>, Error> {
        Ok(self.store().api_keys(caller.organization, page).await?)
    }

    /// Changes some fields of an API key, in force at once on this node.
    pub async fn patch_api_key(
        &self,
        caller: Caller,
        id: ApiKeyId,
        patch: ApiKeyPatch,
    ) -> Result<ApiKeyRow, Error> {
        let now = self.now();
        let mut fields = Fields::default();
        if let Some(name) = &patch.name {
            fields.text("name", name, 1, self.limits().name_chars);
        }
        let expires = patch.expires.map(|given| {
            given.and_then(|text| fields.take(&["expiresAt"], Timestamp::parse(&text)))
        });
        fields.check()?;
        let quota = if patch.quota == QuotaPatch::default() {
            None
        } else {
            Some(patch.quota.of(self.api_key(caller, id).await?.quota))
        };
        let change = ApiKeyChange {
            name: patch.name,
            expires,
            quota,
            now,
        };
        self.change_key(caller, id, change).await
    }

    /// Lets an API key end at a time, which may be now.
    pub async fn expire_api_key(
        &self,
        caller: Caller,
        id: ApiKeyId,
        after: std::time::Duration,
    ) -> Result<ApiKeyRow, Error> {
        let now = self.now();
        let change = ApiKeyChange {
            expires: Some(Some(now.plus(after))),
            now,
            ..ApiKeyChange::default()
        };
        self.change_key(caller, id, change).await
    }

    async fn change_key(
        &self,
        caller: Caller,
        id: ApiKeyId,
        change: ApiKeyChange,
    ) -> Result<ApiKeyRow, Error> {
        let changed = self
            .store_as(caller)
            .update_api_key(caller.organization, id, change)
            .await;
        self.0.keys.clear();
        Ok(changed?)
    }

    /// Revokes an API key, at once on this node.
    pub async fn delete_api_key(&self, caller: Caller, id: ApiKeyId) -> Result<(), Error> {
        // A portal token ends with its session, and is no key that anybody can name.
        self.api_key(caller, id).await?;
        let now = self.now();
        let deleted = self
            .store_as(caller)
            .delete_api_key(caller.organization, id, now)
            .await;
        self.0.keys.clear();
        Ok(deleted?)
    }
}

fn expiry(fields: &mut Fields, text: &str, now: Timestamp) -> Option<Timestamp> {
    let at = fields.take(&["expiresAt"], Timestamp::parse(text))?;
    if at <= now {
        fields.fault(&["expiresAt"], "must be later than now");
        return None;
    }
    Some(at)
}

//! API keys: who is asking.
//!
//! A token is 256 random bits, so its plain SHA-256 is all that is stored. A lookup by that hash
//! tells nobody anything through its timing: whoever can choose the hash's first bytes knows no
//! token for them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ApiKeyId, OrganizationId, OrganizationKey, Timestamp};
use store::{ApiKeyRow, Capabilities, KeyQuota, NewApiKey, Scope};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::quota::Quota;

/// Keys seen within the last seconds, by hash.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_hash: HashMap<[u8; 32], Entry>,
    /// Keys used since it was last noted, and when.
    used: HashMap<ApiKeyId, Timestamp>,
    /// Counts changes of keys, so that what was read before one is not kept after it.
    changes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    caller: Caller,
    expires: Option<Timestamp>,
    /// The end of its stay.
    until: Duration,
}

impl Cache {
    /// A key that another node revoked works no longer than this.
    const STAY: Duration = Duration::from_secs(5);
    /// Only keys that exist are kept, so this bounds nothing that a stranger can fill.
    const ENTRIES_MAX: usize = 4_096;

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no panic while it is held")
    }

    fn get(&self, hash: &[u8; 32], now: Duration) -> Result<Entry, u64> {
        let entries = self.lock();
        match entries.by_hash.get(hash) {
            Some(entry) if now < entry.until => Ok(*entry),
            _ => Err(entries.changes),
        }
    }

    /// Keeps an entry that was read when there had been so many changes.
    fn put(&self, hash: [u8; 32], entry: Entry, changes: u64, used: Timestamp) {
        let mut entries = self.lock();
        if let Some(id) = entry.caller.key {
            entries.used.insert(id, used);
        }
        if entries.changes != changes {
            return;
        }
        if entries.by_hash.len() >= Self::ENTRIES_MAX {
            entries.by_hash.clear();
        }
        entries.by_hash.insert(hash, entry);
    }

    /// Forgets every key: one of them has changed.
    pub(crate) fn clear(&self) {
        let mut entries = self.lock();
        entries.changes += 1;
        entries.by_hash.clear();
    }

    fn take_used(&self) -> Vec<(ApiKeyId, Timestamp)> {
        self.lock().used.drain().collect()
    }
}

impl Service {
    /// The longest token that is looked at.
    pub const TOKEN_LEN_MAX: usize = 256;
    /// The shortest token that an operator may choose.
    pub const TOKEN_LEN_MIN: usize = 8;
    /// A shorter token is accepted with a warning: it can be guessed.
    pub const TOKEN_LEN_GOOD: usize = 24;

    /// Finds out whose token this is.
    pub async fn authenticate(&self, token: &[u8]) -> Result<Caller, Error> {
        if token.is_empty() || token.len() > Self::TOKEN_LEN_MAX {
            return Err(Error::Unauthenticated);
        }
        let hash = hash_of(token);
        let now = self.0.world.clock.monotonic();
        let entry = match self.0.keys.get(&hash, now) {
            Ok(entry) => entry,
            Err(changes) => {
                let row = self.store().api_key(&hash).await?;
                let row = row.ok_or(Error::Unauthenticated)?;
                verify_slices_are_equal(&row.hash, &hash).map_err(|_| Error::Unauthenticated)?;
                let entry = Entry {
                    caller: caller(&row, self.0.world.quota),
                    expires: row.expires,
                    until: now + Cache::STAY,
                };
                self.0.keys.put(hash, entry, changes, self.now());
                entry
            }
        };
        if entry.expires.is_some_and(|end| end <= self.now()) {
            return Err(Error::Unauthenticated);
        }
        Ok(entry.caller)
    }

    /// Notes in the store when keys were last used, and erases portal tokens that have expired.
    ///
    /// To be called now and then: no request waits for it.
    pub async fn keep_keys(&self) -> Result<(), Error> {
        const ROWS: u16 = 1_000;
        let used = self.0.keys.take_used();
        if !used.is_empty() {
            self.store().note_key_uses(used).await?;
        }
        self.store().erase_expired_tokens(self.now(), ROWS).await?;
        Ok(())
    }

    /// Makes the organization and the first admin key, if they do not exist.
    ///
    /// A token that the operator gave is stored when it is not yet. Without one, a token is made
    /// on the first start and returned, to be shown once: it cannot be read back.
    pub async fn bootstrap_admin_key(
        &self,
        given: Option<String>,
    ) -> Result<Option<String>, Error> {
        let now = self.now();
        let id = OrganizationId::from_bits(self.fresh_id(now));
        let organization = self.store().ensure_organization(id, now).await?;
        if let Some(token) = given {
            check_token(&token)?;
            if token.len() < Self::TOKEN_LEN_GOOD {
                tracing::warn!("The admin key is short enough to be guessed; choose a longer one");
            }
            if self
                .store()
                .api_key(&hash_of(token.as_bytes()))
                .await?
                .is_none()
            {
                self.create_admin_key(organization, &token).await?;
            }
            return Ok(None);
        }
        if self.store().api_key_count().await? > 0 {
            return Ok(None);
        }
        let token = self.fresh_token();
        self.create_admin_key(organization, &token).await?;
        Ok(Some(token))
    }

    /// Makes one more organization, and its first admin key, whose token is returned.
    pub async fn create_organization(&self) -> Result<(OrganizationKey, String), Error> {
        let now = self.now();
        let id = OrganizationId::from_bits(self.fresh_id(now));
        let organization = self.store().create_organization(id, now).await?;
        let token = self.fresh_token();
        self.create_admin_key(organization, &token).await?;
        Ok((organization, token))
    }

    /// Makes the token of an API key: 43 characters without a full stop, because client libraries
    /// read a region, such as `.eu`, from the end of a token.
    pub(crate) fn fresh_token(&self) -> String {
        let mut bytes = [0; 32];
        self.0.world.entropy.fill(&mut bytes);
        format!("ph_{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    async fn create_admin_key(
        &self,
        organization: OrganizationKey,
        token: &str,
    ) -> Result<(), Error> {
        let now = self.now();
        let new = NewApiKey {
            id: ApiKeyId::from_bits(self.fresh_id(now)),
            organization,
            application: None,
            name: "admin".to_owned(),
            hash: hash_of(token.as_bytes()),
            prefix: prefix_of(token),
            scope: Scope::Admin,
            portal: None,
            quota: KeyQuota::default(),
            expires: None,
            keys_max: u64::MAX,
            now,
            idempotency: None,
        };
        self.store().create_api_key(new).await?;
        Ok(())
    }
}

fn caller(row: &ApiKeyRow, quota: Quota) -> Caller {
    let portal = row.portal.as_ref();
    Caller {
        key: Some(row.id),
        organization: row.organization,
        application: row.application,
        scope: row.scope,
        capabilities: portal.map_or(Capabilities::NONE, |portal| portal.capabilities),
        quota: quota.of(row.quota),
        request: None,
    }
}

pub(crate) fn hash_of(token: &[u8]) -> [u8; 32] {
    let hash = digest(&SHA256, token);
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

/// Returns what people tell tokens apart by. A token that is short enough to be guessed shows
/// nothing.
pub(crate) fn prefix_of(token: &str) -> String {
    const SHOWN: usize = 8;
    if token.len() < Service::TOKEN_LEN_GOOD {
        return String::new();
    }
    token.chars().take(SHOWN).collect()
}

fn check_token(token: &str) -> Result<(), Error> {
    let (min, max) = (Service::TOKEN_LEN_MIN, Service::TOKEN_LEN_MAX);
    if !(min..=max).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let msg = format!("must be {min} to {max} visible ASCII characters");
        return Err(Error::field(&["admin_key"], msg));
    }
    let regions = [".us", ".eu", ".in", ".ca", ".au"];
    if let Some(region) = regions.iter().find(|region| token.ends_with(*region)) {
        let msg = format!("must not end in {region}: client libraries take that for a region");
        return Err(Error::field(&["admin_key"], msg));
    }
    Ok(())
}

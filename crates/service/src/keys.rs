//! API keys: who is asking.
//!
//! A token is 256 random bits, so its plain SHA-256 is all that is stored. A lookup by that hash
//! tells nobody anything through its timing: whoever can choose the hash's first bytes knows no
//! token for them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ApiKeyId, OrganizationId, OrganizationKey};
use store::{NewApiKey, Scope};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;

/// Keys seen within the last seconds, by hash, with the end of their stay.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<[u8; 32], (Caller, Duration)>>);

impl Cache {
    /// A key that was revoked works no longer than this.
    const STAY: Duration = Duration::from_secs(5);
    /// Only keys that exist are kept, so this bounds nothing that a stranger can fill.
    const ENTRIES_MAX: usize = 4_096;

    fn get(&self, hash: &[u8; 32], now: Duration) -> Option<Caller> {
        let entries = self.0.lock().expect("no panic while it is held");
        let (caller, until) = entries.get(hash)?;
        (now < *until).then_some(*caller)
    }

    fn put(&self, hash: [u8; 32], caller: Caller, now: Duration) {
        let mut entries = self.0.lock().expect("no panic while it is held");
        if entries.len() >= Self::ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(hash, (caller, now + Self::STAY));
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
        if let Some(caller) = self.0.keys.get(&hash, now) {
            return Ok(caller);
        }
        let row = self.store().api_key(&hash).await?;
        let row = row.ok_or(Error::Unauthenticated)?;
        verify_slices_are_equal(&row.hash, &hash).map_err(|_| Error::Unauthenticated)?;
        let caller = Caller {
            key: Some(row.id),
            organization: row.organization,
            application: None,
            scope: row.scope,
            request: None,
        };
        self.0.keys.put(hash, caller, now);
        Ok(caller)
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
        let mut bytes = [0; 32];
        self.0.world.entropy.fill(&mut bytes);
        // 43 characters without a full stop: client libraries read a region, such as `.eu`, from
        // the end of a token.
        let token = format!("ph_{}", URL_SAFE_NO_PAD.encode(bytes));
        self.create_admin_key(organization, &token).await?;
        Ok(Some(token))
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
            name: "admin".to_owned(),
            hash: hash_of(token.as_bytes()),
            scope: Scope::Admin,
            now,
        };
        Ok(self.store().create_api_key(new).await?)
    }
}

fn hash_of(token: &[u8]) -> [u8; 32] {
    let hash = digest(&SHA256, token);
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
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

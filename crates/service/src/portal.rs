//! Access to the portal: short-lived tokens of one application, for a customer's browser.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ApiKeyId, EventType};
use store::{
    ApplicationRef, Capabilities, Capability, Idempotency, KeyQuota, NewApiKey, PortalSession,
    Scope, Write,
};

use crate::applications::ApplicationInput;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::keys::hash_of;
use crate::{Service, Upserted};

/// Where the portal is, and how long its tokens live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalSettings {
    /// The server's address as others see it, without a slash at the end.
    pub public_url: String,
    /// How long a token lives when nobody says.
    pub token_ttl: Duration,
}

impl Default for PortalSettings {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8411".to_owned(),
            token_ttl: Duration::from_hours(1),
        }
    }
}

/// What a portal token is to allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortalAccessInput {
    /// Creates the application if it does not exist.
    pub application: Option<ApplicationInput>,
    /// Only looking.
    pub read_only: bool,
    /// Names of capabilities; all of them when not given.
    pub capabilities: Option<Vec<String>>,
    /// Event types behind these flags are shown.
    pub feature_flags: Vec<String>,
    /// How long the token lives.
    pub ttl: Option<Duration>,
    /// Names the tokens that are to expire together.
    pub session: Option<String>,
}

/// Access to the portal.
#[derive(Clone, PartialEq, Eq)]
pub struct PortalAccess {
    /// What the browser sends.
    pub token: String,
    /// The portal's page, which takes the token from its fragment: that part of a URL is sent
    /// neither to servers nor to other pages.
    pub url: String,
}

const TTL_MIN: Duration = Duration::from_mins(1);
const TTL_MAX: Duration = Duration::from_hours(7 * 24);

impl Service {
    /// Makes a portal token of an application.
    ///
    /// A repeated request gets the same token again, so that an answer that was lost costs
    /// nothing: the token is computed from its id and the master key, and stored as a hash.
    pub async fn portal_access(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: PortalAccessInput,
        idempotency: Option<Idempotency>,
    ) -> Result<PortalAccess, Error> {
        let (session, ttl) = self.check_portal(&input)?;
        let application = self
            .portal_application(caller, application, input.application)
            .await?;
        let now = self.now();
        let id = ApiKeyId::from_bits(self.fresh_id(now));
        let new = NewApiKey {
            id,
            organization: caller.organization,
            application: Some(application),
            name: "portal".to_owned(),
            hash: hash_of(self.portal_token(id).as_bytes()),
            prefix: String::new(),
            scope: Scope::Portal,
            portal: Some(session),
            quota: KeyQuota::default(),
            expires: Some(now.plus(ttl)),
            keys_max: u64::MAX,
            now,
            idempotency,
        };
        let row = match self.store_as(caller).create_api_key(new).await? {
            Write::Done(row) | Write::Replayed(row) => row,
        };
        let token = self.portal_token(row.id);
        if hash_of(token.as_bytes()) != row.hash {
            return Err(Error::Conflict(
                "the token that this idempotency key made cannot be shown again: the master key \
                 has changed since; use another key"
                    .to_owned(),
            ));
        }
        let url = &self.0.world.portal.public_url;
        Ok(PortalAccess {
            url: format!("{url}/portal#key={token}"),
            token,
        })
    }

    fn portal_token(&self, id: ApiKeyId) -> String {
        let bytes = self.0.world.vault.portal_token(id.bits());
        format!("appsk_{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    fn check_portal(&self, input: &PortalAccessInput) -> Result<(PortalSession, Duration), Error> {
        let mut fields = Fields::default();
        let given = input.capabilities.as_deref();
        let mut capabilities = given.map_or_else(Capabilities::all, |names| {
            let parse = |name: &str| Capability::from_name(name).ok_or("is not a capability");
            let max = Capability::ALL.len();
            let names = fields.names("capabilities", names, max, parse);
            names.into_iter().chain([Capability::ViewBase]).collect()
        });
        if input.read_only {
            capabilities = [Capability::ViewBase].into_iter().collect();
        }
        // A flag is written like an event type.
        let parse = |flag: &str| EventType::parse(flag).map(|flag| flag.to_string());
        let limits = self.limits();
        let max = limits.portal_flags;
        let feature_flags = fields.names("featureFlags", &input.feature_flags, max, parse);
        if let Some(session) = &input.session {
            fields.text("sessionId", session, 1, limits.session_chars);
        }
        let ttl = input.ttl.unwrap_or(self.0.world.portal.token_ttl);
        if input.ttl.is_some() && !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            let (min, max) = (TTL_MIN.as_secs(), TTL_MAX.as_secs());
            fields.fault(&["expiry"], format!("must be between {min} and {max}"));
        }
        fields.check()?;
        let session = PortalSession {
            capabilities,
            feature_flags,
            session: input.session.clone(),
        };
        Ok((session, ttl))
    }

    /// Finds the application, or creates it when the input says how.
    async fn portal_application(
        &self,
        caller: Caller,
        named: &ApplicationRef,
        input: Option<ApplicationInput>,
    ) -> Result<domain::ApplicationKey, Error> {
        let missing = match self.application(caller, named).await {
            Ok(found) => return Ok(found.key),
            Err(error) => error,
        };
        let Some(input) = input.filter(|_| caller.may_create_applications()) else {
            return Err(missing);
        };
        let created = self.application_named(caller, named, input).await?;
        let (Upserted::Created(found) | Upserted::Existing(found)) = created;
        Ok(found.key)
    }

    /// Lets the portal tokens of an application end, those of some sessions only when any are
    /// named.
    pub async fn expire_portal_tokens(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        sessions: Vec<String>,
        after: Duration,
    ) -> Result<(), Error> {
        let mut fields = Fields::default();
        let (len, max) = (sessions.len(), self.limits().portal_sessions);
        if len > max {
            let msg = format!("has {len} items; at most {max} are allowed");
            fields.fault(&["sessionIds"], msg);
        }
        if after > TTL_MAX {
            let max = TTL_MAX.as_secs();
            fields.fault(&["expiry"], format!("must be between 0 and {max}"));
        }
        fields.check()?;
        let application = self.application(caller, application).await?.key;
        let now = self.now();
        let expired = self
            .store_as(caller)
            .expire_portal_tokens(application, sessions, now.plus(after), now)
            .await;
        self.0.keys.clear();
        expired?;
        Ok(())
    }

    /// Ends the caller's own portal token.
    pub async fn logout(&self, caller: Caller) -> Result<(), Error> {
        let (Some(id), Scope::Portal) = (caller.key, caller.scope) else {
            return Err(Error::Forbidden);
        };
        let now = self.now();
        let deleted = self
            .store_as(caller)
            .delete_api_key(caller.organization, id, now)
            .await;
        self.0.keys.clear();
        Ok(deleted?)
    }
}

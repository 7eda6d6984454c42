//! Signing secrets of endpoints: made, sealed, shown, rotated.

use std::time::Duration;

use domain::EndpointId;
use signature::Secret;
use store::{ApplicationRef, EndpointRef, Idempotency, Rotation, Sealed};
use vault::Binding;

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;

/// How a secret is to be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationInput {
    /// The new secret; made here when there is none.
    pub key: Option<String>,
    /// How long the earlier secrets go on signing; a day when not given.
    pub grace: Option<Duration>,
}

impl Service {
    /// Returns the current signing secret of an endpoint, `whsec_…`.
    pub async fn endpoint_secret(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
    ) -> Result<String, Error> {
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        let current = endpoint
            .secrets
            .first()
            .ok_or_else(|| Error::Failed(format!("{} has no secret", endpoint.id)))?;
        self.open_secret(endpoint.id, &current.sealed)
    }

    /// Puts a new secret first, and returns it; with a known idempotency key, that of the first time.
    pub async fn rotate_secret(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        input: RotationInput,
        idempotency: Option<Idempotency>,
    ) -> Result<String, Error> {
        const GRACE: Duration = Duration::from_hours(24);
        const GRACE_MAX: Duration = Duration::from_hours(7 * 24);

        let mut fields = Fields::default();
        let secret = self.secret_or_fresh(&mut fields, "key", input.key.as_deref());
        let grace = input.grace.unwrap_or(GRACE);
        if grace > GRACE_MAX {
            fields.fault(&["gracePeriodSeconds"], "must be at most 604800");
        }
        fields.check()?;
        let secret = secret.expect("made, and there were no faults");

        let existing = self.endpoint(caller, application, endpoint).await?;
        let now = self.now();
        let rotation = Rotation {
            secret: self.seal_secret(existing.id, &secret),
            old_expires: now.plus(grace),
            secrets_max: self.limits().secrets_per_endpoint as u64,
            now,
            idempotency,
        };
        let by_id = EndpointRef::Id(existing.id);
        let rotated = self
            .store_as(caller)
            .rotate_secret(existing.application, &by_id, rotation)
            .await?
            .into_inner();
        self.engine()
            .changed(existing.application, Some(existing.key));
        // A repeat answers the key of the first time, which only the sealed store has.
        self.open_secret(existing.id, &rotated.secret)
    }

    /// Parses the secret given, or makes one of 32 random bytes.
    pub(crate) fn secret_or_fresh(
        &self,
        fields: &mut Fields,
        field: &str,
        given: Option<&str>,
    ) -> Option<Secret> {
        if let Some(text) = given {
            return fields.take(&[field], Secret::parse(text));
        }
        let mut bytes = [0; 32];
        self.0.world.entropy.fill(&mut bytes);
        Some(Secret::from_random(bytes))
    }

    pub(crate) fn seal_secret(&self, endpoint: EndpointId, secret: &Secret) -> Sealed {
        let binding = Binding::endpoint_secret(endpoint);
        self.seal(secret.to_text().as_bytes(), &binding)
    }

    pub(crate) fn seal(&self, plaintext: &[u8], binding: &Binding) -> Sealed {
        let mut nonce = [0; 12];
        self.0.world.entropy.fill(&mut nonce);
        Sealed(self.0.world.vault.seal(plaintext, binding, nonce))
    }

    fn open_secret(&self, endpoint: EndpointId, sealed: &Sealed) -> Result<String, Error> {
        let binding = Binding::endpoint_secret(endpoint);
        let opened = self.0.world.vault.open(&sealed.0, &binding);
        let opened = opened.map_err(|error| {
            Error::Failed(format!(
                "the secret of {endpoint} cannot be opened: {error}"
            ))
        })?;
        String::from_utf8(opened.to_vec())
            .map_err(|_| Error::Failed(format!("the secret of {endpoint} is not text")))
    }
}

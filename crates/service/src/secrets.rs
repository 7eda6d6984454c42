//! Signing secrets of endpoints: made, sealed, shown, rotated.

use std::time::Duration;

use domain::{EndpointId, Timestamp};
use signature::{PrivateKey, PublicKey, Secret};
use store::{ApplicationRef, EndpointRef, Idempotency, Rotation, Sealed};
use vault::Binding;
use zeroize::Zeroizing;

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;

/// What an endpoint's messages are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// A secret that the receiver shares: `v1`, HMAC-SHA256.
    Shared,
    /// A key pair of which the receiver has the public half: `v1a`, Ed25519.
    Ed25519,
}

impl SignatureKind {
    /// Its name as callers write it.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        match name {
            "hmac-sha256" => Ok(Self::Shared),
            "ed25519" => Ok(Self::Ed25519),
            _ => Err("must be hmac-sha256 or ed25519"),
        }
    }
}

/// What a new secret is to be, as a caller describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretInput {
    /// `whsec_…` or `whsk_…`; made here when there is none.
    pub key: Option<String>,
    /// The kind to make; also checked against a key that is given.
    pub signature: Option<String>,
}

/// A public key that an endpoint's messages can be verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKey {
    /// The key.
    pub public: PublicKey,
    /// When it stops signing; `None` for the current one.
    pub expires: Option<Timestamp>,
}

/// A secret to be sealed.
pub(crate) enum SigningSecret {
    Shared(Secret),
    Ed25519(PrivateKey),
}

impl SigningSecret {
    fn parse(text: &str) -> Result<Self, signature::InvalidKey> {
        if text.starts_with(PrivateKey::PREFIX) {
            PrivateKey::parse(text).map(Self::Ed25519)
        } else {
            Secret::parse(text).map(Self::Shared)
        }
    }

    fn kind(&self) -> SignatureKind {
        match self {
            Self::Shared(_) => SignatureKind::Shared,
            Self::Ed25519(_) => SignatureKind::Ed25519,
        }
    }

    fn to_text(&self) -> Zeroizing<String> {
        match self {
            Self::Shared(secret) => secret.to_text(),
            Self::Ed25519(key) => key.to_text(),
        }
    }

    /// What the receiver verifies with. A private key is never shown.
    fn shown(&self) -> String {
        match self {
            Self::Shared(secret) => secret.to_text().to_string(),
            Self::Ed25519(key) => key.public_key().to_text(),
        }
    }
}

/// How a secret is to be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationInput {
    /// The new secret; of the current one's kind when it is not said.
    pub secret: SecretInput,
    /// How long the earlier secrets go on signing; a day when not given.
    pub grace: Option<Duration>,
}

impl Service {
    /// Returns what the current signatures of an endpoint are verified with: its shared secret,
    /// `whsec_…`, or its public key, `whpk_…`.
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
        Ok(self.open_secret(endpoint.id, &current.sealed)?.shown())
    }

    /// Returns the public keys of an endpoint, the current one first, to whoever knows its id.
    ///
    /// `NotFound` when there is none: no endpoint, or one that signs with a shared secret.
    pub async fn public_keys(&self, id: EndpointId) -> Result<Vec<EndpointKey>, Error> {
        let found = self.store().endpoint_by_id(id).await?;
        let endpoint = found.ok_or(Error::NotFound("endpoint"))?;
        let now = self.now();
        let mut keys = Vec::new();
        for secret in &endpoint.secrets {
            if secret.expires.is_some_and(|end| end <= now) {
                continue;
            }
            if let SigningSecret::Ed25519(key) = self.open_secret(id, &secret.sealed)? {
                keys.push(EndpointKey {
                    public: key.public_key(),
                    expires: secret.expires,
                });
            }
        }
        if keys.is_empty() {
            return Err(Error::NotFound("public key"));
        }
        Ok(keys)
    }

    /// Puts a new secret first, and returns it; with a known idempotency key, that of the first
    /// time.
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

        let existing = self.endpoint(caller, application, endpoint).await?;
        let current = match existing.secrets.first() {
            Some(current) => self.open_secret(existing.id, &current.sealed)?.kind(),
            None => SignatureKind::Shared,
        };
        let mut fields = Fields::default();
        let secret = self.signing_secret(&mut fields, "key", &input.secret, current);
        let grace = input.grace.unwrap_or(GRACE);
        if grace > GRACE_MAX {
            fields.fault(&["gracePeriodSeconds"], "must be at most 604800");
        }
        fields.check()?;
        let secret = secret.expect("made, and there were no faults");

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
        Ok(self.open_secret(existing.id, &rotated.secret)?.shown())
    }

    /// Parses the secret that is given, or makes one of the kind that is asked for, or of `kind`.
    pub(crate) fn signing_secret(
        &self,
        fields: &mut Fields,
        field: &str,
        input: &SecretInput,
        kind: SignatureKind,
    ) -> Option<SigningSecret> {
        let asked = match input.signature.as_deref().map(SignatureKind::parse) {
            None => None,
            Some(parsed) => Some(fields.take(&["signature"], parsed)?),
        };
        if let Some(text) = &input.key {
            let secret = fields.take(&[field], SigningSecret::parse(text))?;
            if asked.is_some_and(|asked| asked != secret.kind()) {
                fields.fault(&["signature"], "is not the kind of the key that is given");
            }
            return Some(secret);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        self.0.world.entropy.fill(bytes.as_mut_slice());
        Some(match asked.unwrap_or(kind) {
            SignatureKind::Shared => SigningSecret::Shared(Secret::from_random(*bytes)),
            SignatureKind::Ed25519 => SigningSecret::Ed25519(PrivateKey::from_random(*bytes)),
        })
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

    pub(crate) fn seal_secret(&self, endpoint: EndpointId, secret: &SigningSecret) -> Sealed {
        let binding = Binding::endpoint_secret(endpoint);
        self.seal(secret.to_text().as_bytes(), &binding)
    }

    pub(crate) fn seal(&self, plaintext: &[u8], binding: &Binding) -> Sealed {
        let mut nonce = [0; 12];
        self.0.world.entropy.fill(&mut nonce);
        Sealed(self.0.world.vault.seal(plaintext, binding, nonce))
    }

    fn open_secret(&self, endpoint: EndpointId, sealed: &Sealed) -> Result<SigningSecret, Error> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::Failed(format!("the secret of {endpoint} cannot be opened: {why}"))
        };
        let binding = Binding::endpoint_secret(endpoint);
        let opened = self.0.world.vault.open(&sealed.0, &binding);
        let opened = opened.map_err(|error| failed(&error))?;
        let text = std::str::from_utf8(&opened).map_err(|error| failed(&error))?;
        SigningSecret::parse(text).map_err(|error| failed(&error))
    }
}

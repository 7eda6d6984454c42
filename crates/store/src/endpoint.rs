//! Endpoints: where messages go.

use std::collections::BTreeMap;

use domain::{
    ApplicationId, ApplicationKey, DisabledReason, EndpointId, EndpointKey, MessageKey,
    Subscription, TargetUrl, Timestamp, Tuning, Uid, UrlKey,
};

use crate::{Application, Idempotency};

/// Names an endpoint in a path: its id or its uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointRef {
    /// By id.
    Id(EndpointId),
    /// By the caller's own name.
    Uid(Uid),
}

/// Something encrypted, bound to its row, with the id of its key in front. Opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

/// A sealed signing secret with the end of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// The secret's text form, sealed.
    pub sealed: Sealed,
    /// When it stops signing; `None` for the current one.
    pub expires: Option<Timestamp>,
}

/// An endpoint as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its row.
    pub key: EndpointKey,
    /// Its application's row.
    pub application: ApplicationKey,
    /// Its application's id.
    pub application_id: ApplicationId,
    /// Its public id.
    pub id: EndpointId,
    /// Messages per second over all endpoints of its application.
    pub application_throttle_rate: Option<u16>,
    /// The caller's own name.
    pub uid: Option<Uid>,
    /// Where to.
    pub url: TargetUrl,
    /// The row of that URL, which attempts point at.
    pub url_key: UrlKey,
    /// For people.
    pub description: String,
    /// Why it is disabled, if it is.
    pub disabled: Option<DisabledReason>,
    /// When it was disabled.
    pub disabled_at: Option<Timestamp>,
    /// When the first failure since its last success was, if it was disabled for failing.
    pub failing_since: Option<Timestamp>,
    /// Deliveries are held.
    pub paused: bool,
    /// Which messages it gets.
    pub subscription: Subscription,
    /// Messages per second.
    pub throttle_rate: Option<u16>,
    /// How it asked to be called.
    pub tuning: Tuning,
    /// Whatever the caller keeps here.
    pub metadata: BTreeMap<String, String>,
    /// Custom headers, a JSON object, sealed: they often carry credentials.
    pub headers: Option<Sealed>,
    /// Signing secrets, the current one first.
    pub secrets: Vec<SealedSecret>,
    /// The newest message stored when pending deliveries were last canceled. A delivery that
    /// was in memory by then is canceled if its message is not beyond this one; what a claim
    /// returns is never canceled, whatever its key (a resend, a key drawn before the disabling).
    pub canceled_through: Option<MessageKey>,
    /// Rises with every change.
    pub version: u64,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// When it was deleted; only reads by key show deleted ones.
    pub deleted: Option<Timestamp>,
}

/// An endpoint to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEndpoint {
    /// Its application.
    pub application: ApplicationKey,
    /// Its public id.
    pub id: EndpointId,
    /// The caller's own name.
    pub uid: Option<Uid>,
    /// Where to.
    pub url: TargetUrl,
    /// For people.
    pub description: String,
    /// Disabled from the start.
    pub disabled: Option<DisabledReason>,
    /// Which messages it gets.
    pub subscription: Subscription,
    /// Messages per second.
    pub throttle_rate: Option<u16>,
    /// How it asks to be called.
    pub tuning: Tuning,
    /// Whatever the caller keeps here.
    pub metadata: BTreeMap<String, String>,
    /// Custom headers, sealed.
    pub headers: Option<Sealed>,
    /// The signing secret, sealed.
    pub secret: Sealed,
    /// `limits.endpoints_per_application`.
    pub endpoints_max: u64,
    /// Now.
    pub now: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// A change of an endpoint; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointChange {
    /// A new uid, or none.
    pub uid: Option<Option<Uid>>,
    /// Where to.
    pub url: Option<TargetUrl>,
    /// For people.
    pub description: Option<String>,
    /// Disable for a reason, or enable.
    pub disabled: Option<Option<DisabledReason>>,
    /// Hold deliveries, or let them go.
    pub paused: Option<bool>,
    /// Which messages it gets.
    pub subscription: Option<Subscription>,
    /// Messages per second, or no limit.
    pub throttle_rate: Option<Option<u16>>,
    /// How it asks to be called, all of it.
    pub tuning: Option<Tuning>,
    /// New metadata, all of it.
    pub metadata: Option<BTreeMap<String, String>>,
    /// New custom headers, all of them, or none.
    pub headers: Option<Option<Sealed>>,
    /// Now. Disabling cancels the pending deliveries of all messages that are stored, and of no
    /// message that is stored later, whatever its key.
    pub now: Timestamp,
}

/// A new signing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The new secret, sealed.
    pub secret: Sealed,
    /// When the secrets that are live now stop signing.
    pub old_expires: Timestamp,
    /// `limits.secrets_per_endpoint`.
    pub secrets_max: u64,
    /// Now.
    pub now: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// An endpoint whose secret was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The endpoint as it is now.
    pub endpoint: Endpoint,
    /// The secret that this rotation put first.
    pub secret: Sealed,
}

/// All that routing knows of an application, as of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// The application.
    pub application: Application,
    /// Counts changes; an append with another version is `Stale`.
    pub version: u64,
    /// Its endpoints, by key.
    pub endpoints: Vec<Endpoint>,
}

//! Applications: whom a set of endpoints belongs to.

use std::collections::BTreeMap;

use domain::{ApplicationId, ApplicationKey, OrganizationKey, Timestamp, Uid};

use crate::Idempotency;

/// Names an application in a path: its id or its uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ApplicationRef {
    /// By id.
    Id(ApplicationId),
    /// By the caller's own name.
    Uid(Uid),
}

/// An application as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its row.
    pub key: ApplicationKey,
    /// Its public id.
    pub id: ApplicationId,
    /// The caller's own name.
    pub uid: Option<Uid>,
    /// A name for people.
    pub name: String,
    /// Messages per second over all its endpoints.
    pub throttle_rate: Option<u16>,
    /// Whatever the caller keeps here.
    pub metadata: BTreeMap<String, String>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// An application to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApplication {
    /// Whose it is.
    pub organization: OrganizationKey,
    /// Its public id.
    pub id: ApplicationId,
    /// The caller's own name.
    pub uid: Option<Uid>,
    /// A name for people.
    pub name: String,
    /// Messages per second over all its endpoints.
    pub throttle_rate: Option<u16>,
    /// Whatever the caller keeps here.
    pub metadata: BTreeMap<String, String>,
    /// Beyond so many live applications of the organization, refuse: `limits.applications`.
    pub applications_max: u64,
    /// Now.
    pub now: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// A change of an application; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationChange {
    /// A new uid, or none.
    pub uid: Option<Option<Uid>>,
    /// A new name.
    pub name: Option<String>,
    /// A new rate, or none.
    pub throttle_rate: Option<Option<u16>>,
    /// New metadata, all of it.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Now.
    pub now: Timestamp,
}

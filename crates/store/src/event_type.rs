//! Event types: the catalogue of what an organization publishes.

use domain::{EventType, OrganizationKey, Timestamp};

use crate::Idempotency;

/// An event type as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypeRow {
    /// Its name.
    pub name: EventType,
    /// For people.
    pub description: String,
    /// Hidden from lists.
    pub archived: bool,
    /// Still sent, no longer recommended.
    pub deprecated: bool,
    /// Shown only to those who have one of these flags; to everybody without any. A flag has no
    /// comma.
    pub feature_flags: Vec<String>,
    /// What it is listed under.
    pub group: Option<String>,
    /// JSON Schemas by version, as JSON text.
    pub schemas: Option<String>,
    /// Messages must match a schema.
    pub enforced: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// An event type to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEventType {
    /// Whose it is.
    pub organization: OrganizationKey,
    /// Its name.
    pub name: EventType,
    /// For people.
    pub description: String,
    /// Hidden from lists.
    pub archived: bool,
    /// Still sent, no longer recommended.
    pub deprecated: bool,
    /// Shown only to those who have one of these flags; to everybody without any. A flag has no
    /// comma.
    pub feature_flags: Vec<String>,
    /// What it is listed under.
    pub group: Option<String>,
    /// JSON Schemas by version, as JSON text.
    pub schemas: Option<String>,
    /// Messages must match a schema.
    pub enforced: bool,
    /// Beyond so many event types of the organization, archived ones too, refuse:
    /// `limits.event_types`.
    pub event_types_max: u64,
    /// Now.
    pub now: Timestamp,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// A change of an event type; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTypeChange {
    /// For people.
    pub description: Option<String>,
    /// Hidden from lists.
    pub archived: Option<bool>,
    /// Still sent, no longer recommended.
    pub deprecated: Option<bool>,
    /// New flags, or none.
    pub feature_flags: Option<Vec<String>>,
    /// A new group, or none.
    pub group: Option<Option<String>>,
    /// New schemas, or none.
    pub schemas: Option<Option<String>>,
    /// Messages must match a schema, or need not.
    pub enforced: Option<bool>,
    /// Now.
    pub now: Timestamp,
}

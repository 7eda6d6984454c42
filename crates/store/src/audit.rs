//! The audit trail: who changed what, in a chain in which nothing can be altered unseen.
//!
//! Every administrative change writes an entry in its own transaction. An entry carries the hash
//! of the one before, so changing or removing one breaks the chain there; the hash of the newest,
//! noted elsewhere, proves all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256, digest};
use domain::{ApiKeyId, ApplicationId, OrganizationKey, Timestamp};
use serde_json::{Value, json};

use crate::{ApiKeyRow, Application, Endpoint, Error, EventTypeRow, Job, Page, PageRequest, Store};

/// The trail of administrative changes.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Returns the same store, whose administrative changes are noted as this author's.
    ///
    /// # Contract
    ///
    /// - Each change of an application, endpoint, event type or key writes one entry in its own
    ///   transaction, whoever makes it; one that is refused or was a repeated request writes none.
    /// - Publishing, delivering and reading write none.
    /// - An entry shows no secret: of what is sealed, and of hashes, only that it changed.
    fn authored(&self, author: Author) -> Arc<dyn Store>;

    /// Lists entries of an organization by number.
    ///
    /// # Contract
    ///
    /// - Examines at most [`crate::ROWS_EXAMINED_MAX`] rows, as [`Store::messages`] does.
    async fn audit(
        &self,
        organization: OrganizationKey,
        filter: &AuditFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<AuditRow, i64>, Error>;

    /// Returns where an organization's chain begins: the number and hash of the last entry that
    /// retention has erased, or zeros; and likewise where it ends.
    async fn audit_ends(&self, organization: OrganizationKey) -> Result<AuditEnds, Error>;

    /// Erases the oldest entries of all organizations that are from before a time, at most
    /// `rows`; returns how many.
    ///
    /// # Contract
    ///
    /// - What is left is a chain that still verifies.
    async fn prune_audit(&self, before: Timestamp, rows: u16) -> Result<u64, Error>;
}

/// Who makes a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The API key; `None` is posthaste itself.
    pub key: Option<ApiKeyId>,
    /// The request, as the log names it.
    pub request: Option<String>,
}

/// Which entries a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only by this key.
    pub key: Option<ApiKeyId>,
    /// Only this action, such as `endpoint.update`.
    pub action: Option<String>,
    /// Only about the thing with this id.
    pub target: Option<String>,
    /// Only from before.
    pub before: Option<Timestamp>,
    /// Only from after.
    pub after: Option<Timestamp>,
}

impl AuditFilter {
    /// Says whether an entry is wanted.
    pub fn matches(&self, row: &AuditRow) -> bool {
        let entry = &row.entry;
        self.key.is_none_or(|key| entry.author.key == Some(key))
            && self.action.as_ref().is_none_or(|one| *one == entry.action)
            && self.target.as_ref().is_none_or(|one| *one == entry.target)
            && self.before.is_none_or(|at| entry.at < at)
            && self.after.is_none_or(|at| entry.at > at)
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub author: Author,
    /// What, as a noun and a verb: `endpoint.update`.
    pub action: String,
    /// The id or name of the thing.
    pub target: String,
    /// Its application, for what belongs to one.
    pub application: Option<ApplicationId>,
    /// SHA-256 of all its fields before; `None` when it was made.
    pub before: Option<[u8; 32]>,
    /// SHA-256 of all its fields after; `None` when it is gone.
    pub after: Option<[u8; 32]>,
    /// What changed, a JSON object: each field with what it was and is.
    pub changes: String,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Counts the entries of an organization, from 1 and without gaps.
    pub number: i64,
    /// What was done.
    pub entry: AuditEntry,
    /// SHA-256 of the previous entry's hash and of everything in this one.
    pub hash: [u8; 32],
}

/// Both ends of an organization's chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditEnds {
    /// The last entry that retention has erased.
    pub erased: (i64, [u8; 32]),
    /// The newest entry.
    pub newest: (i64, [u8; 32]),
}

impl AuditRow {
    /// Puts an entry behind the one with this number and hash.
    pub fn behind((number, hash): (i64, [u8; 32]), entry: AuditEntry) -> Self {
        let number = number + 1;
        Self {
            number,
            hash: link(number, &hash, &entry),
            entry,
        }
    }

    /// Says whether this is what follows the entry with this number and hash.
    pub fn follows(&self, (number, hash): (i64, [u8; 32])) -> bool {
        self.number == number + 1 && self.hash == link(self.number, &hash, &self.entry)
    }
}

/// Computes an entry's hash: every part with its length in front, so that none runs into another.
fn link(number: i64, previous: &[u8; 32], entry: &AuditEntry) -> [u8; 32] {
    let key = entry.author.key.map(|key| key.bits().to_be_bytes());
    let application = entry.application.map(|id| id.bits().to_be_bytes());
    let mut context = Context::new(&SHA256);
    let mut put = |part: Option<&[u8]>| {
        // An absent part differs from an empty one.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        context.update(&length.to_be_bytes());
        context.update(part.unwrap_or_default());
    };
    put(Some(previous));
    put(Some(&number.to_be_bytes()));
    put(Some(&entry.at.as_micros().to_be_bytes()));
    put(key.as_ref().map(<[u8; 16]>::as_slice));
    put(entry.author.request.as_ref().map(String::as_bytes));
    put(Some(entry.action.as_bytes()));
    put(Some(entry.target.as_bytes()));
    put(application.as_ref().map(<[u8; 16]>::as_slice));
    put(entry.before.as_ref().map(<[u8; 32]>::as_slice));
    put(entry.after.as_ref().map(<[u8; 32]>::as_slice));
    put(Some(entry.changes.as_bytes()));
    *context
        .finish()
        .as_ref()
        .first_chunk()
        .expect("SHA-256 has 32 bytes")
}

/// One field of a thing that the trail tells about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditField {
    /// Shown with what it was and is.
    Shown(Value),
    /// A secret, sealed or hashed: only whether it changed is shown.
    Hidden(Vec<u8>),
}

/// The fields of a thing, by name.
pub type AuditFields = BTreeMap<&'static str, AuditField>;

/// A thing whose changes the trail tells.
pub trait Audited {
    /// Returns every field but times and counters that change by themselves.
    fn audit_fields(&self) -> AuditFields;
}

/// A field that is longer is told by its hash.
const SHOWN_BYTES_MAX: usize = 1_024;

/// Returns the hash of all fields.
pub fn audit_hash(fields: &AuditFields) -> [u8; 32] {
    let mut text = Vec::new();
    for (name, field) in fields {
        let bytes = match field {
            AuditField::Shown(value) => value.to_string().into_bytes(),
            AuditField::Hidden(bytes) => bytes.clone(),
        };
        for part in [name.as_bytes(), &bytes] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
    }
    sha256(&text)
}

/// Returns what differs, as the text of a JSON object.
pub fn audit_changes(before: Option<&AuditFields>, after: Option<&AuditFields>) -> String {
    let empty = AuditFields::new();
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    let mut changes = serde_json::Map::new();
    for name in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(name), after.get(name));
        if old == new {
            continue;
        }
        let change = match (old, new) {
            (Some(AuditField::Hidden(_)), _) | (_, Some(AuditField::Hidden(_))) => {
                json!({"changed": true})
            }
            _ => json!({"before": shown(old), "after": shown(new)}),
        };
        changes.insert((*name).to_owned(), change);
    }
    Value::Object(changes).to_string()
}

fn shown(field: Option<&AuditField>) -> Value {
    let Some(AuditField::Shown(value)) = field else {
        return Value::Null;
    };
    let text = value.to_string();
    if text.len() <= SHOWN_BYTES_MAX {
        return value.clone();
    }
    json!({"bytes": text.len(), "sha256": hex(&sha256(text.as_bytes()))})
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest(&SHA256, bytes);
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes what is written");
    }
    text
}

fn text<T: ToString>(value: Option<T>) -> AuditField {
    AuditField::Shown(value.map_or(Value::Null, |value| value.to_string().into()))
}

fn texts<T: ToString>(values: Option<&Vec<T>>) -> AuditField {
    let list = |values: &Vec<T>| values.iter().map(|one| one.to_string().into()).collect();
    AuditField::Shown(values.map_or(Value::Null, |values| Value::Array(list(values))))
}

impl Audited for Application {
    fn audit_fields(&self) -> AuditFields {
        [
            ("uid", text(self.uid.as_ref())),
            ("name", text(Some(&self.name))),
            ("throttleRate", AuditField::Shown(json!(self.throttle_rate))),
            ("metadata", AuditField::Shown(json!(self.metadata))),
        ]
        .into()
    }
}

impl Audited for Endpoint {
    fn audit_fields(&self) -> AuditFields {
        let tuning = &self.tuning;
        let mut secrets = Vec::new();
        for secret in &self.secrets {
            secrets.extend_from_slice(&secret.sealed.0);
            secrets
                .extend_from_slice(&secret.expires.map_or(0, Timestamp::as_micros).to_be_bytes());
        }
        let headers = self.headers.as_ref().map(|sealed| sealed.0.clone());
        [
            ("uid", text(self.uid.as_ref())),
            ("url", text(Some(self.url.as_str()))),
            ("description", text(Some(&self.description))),
            (
                "disabled",
                text(self.disabled.map(domain::DisabledReason::slug)),
            ),
            ("paused", AuditField::Shown(json!(self.paused))),
            ("eventTypes", texts(self.subscription.event_types.as_ref())),
            ("channels", texts(self.subscription.channels.as_ref())),
            ("throttleRate", AuditField::Shown(json!(self.throttle_rate))),
            ("tuning", AuditField::Shown(format!("{tuning:?}").into())),
            ("metadata", AuditField::Shown(json!(self.metadata))),
            ("headers", AuditField::Hidden(headers.unwrap_or_default())),
            ("secret", AuditField::Hidden(secrets)),
        ]
        .into()
    }
}

impl Audited for EventTypeRow {
    fn audit_fields(&self) -> AuditFields {
        [
            ("description", text(Some(&self.description))),
            ("archived", AuditField::Shown(json!(self.archived))),
            ("deprecated", AuditField::Shown(json!(self.deprecated))),
            ("featureFlag", text(self.feature_flag.as_ref())),
            ("schemas", text(self.schemas.as_ref())),
            ("enforced", AuditField::Shown(json!(self.enforced))),
        ]
        .into()
    }
}

impl Audited for Job {
    fn audit_fields(&self) -> AuditFields {
        [
            ("kind", text(Some(self.kind.slug()))),
            (
                "state",
                AuditField::Shown(format!("{:?}", self.state).to_lowercase().into()),
            ),
            ("endpoint", text(self.endpoint)),
            (
                "criteria",
                AuditField::Shown(format!("{:?}", self.criteria).into()),
            ),
            ("rate", AuditField::Shown(json!(self.rate))),
        ]
        .into()
    }
}

impl Audited for ApiKeyRow {
    fn audit_fields(&self) -> AuditFields {
        let quota = &self.quota;
        let portal = self.portal.as_ref();
        let capabilities: Option<Vec<_>> = portal.map(|portal| {
            portal
                .capabilities
                .iter()
                .map(crate::Capability::name)
                .collect()
        });
        [
            ("name", text(Some(&self.name))),
            ("scope", text(Some(self.scope.slug()))),
            ("application", text(self.application_id)),
            ("capabilities", texts(capabilities.as_ref())),
            ("expiresAt", text(self.expires)),
            (
                "requestsPerSecond",
                AuditField::Shown(json!(quota.requests_per_second)),
            ),
            ("burst", AuditField::Shown(json!(quota.burst))),
            (
                "messagesPerDay",
                AuditField::Shown(json!(quota.messages_per_day)),
            ),
            ("token", AuditField::Hidden(self.hash.to_vec())),
        ]
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: &str, target: &str) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_micros(1),
            author: Author::default(),
            action: action.to_owned(),
            target: target.to_owned(),
            application: None,
            before: None,
            after: None,
            changes: "{}".to_owned(),
        }
    }

    #[test]
    fn an_entry_follows_what_it_was_put_behind_and_nothing_else() {
        let start = (0, [0; 32]);
        let first = AuditRow::behind(start, entry("a", "b"));
        let second = AuditRow::behind((1, first.hash), entry("a", "b"));

        assert!(first.follows(start));
        assert!(second.follows((1, first.hash)));
        assert!(!second.follows(start));
        assert!(!second.follows((1, [0; 32])));
        let moved = AuditRow::behind(start, entry("ab", ""));
        assert_ne!(first.hash, moved.hash);
        let mut edited = second;
        edited.entry.author.request = Some(String::new());
        assert!(!edited.follows((1, first.hash)));
    }

    #[test]
    fn changes_show_what_was_and_is_and_no_secret() {
        let long = "x".repeat(2_000);
        let before: AuditFields = [
            ("a", text(Some("same"))),
            ("b", text(Some("old"))),
            ("c", AuditField::Hidden(b"secret".to_vec())),
        ]
        .into();
        let after: AuditFields = [
            ("a", text(Some("same"))),
            ("b", text(Some("new"))),
            ("c", AuditField::Hidden(b"other secret".to_vec())),
            ("d", text(Some(long))),
        ]
        .into();

        let changes = audit_changes(Some(&before), Some(&after));

        let parsed: Value = serde_json::from_str(&changes).unwrap();
        assert_eq!(parsed["b"], json!({"before": "old", "after": "new"}));
        assert_eq!(parsed["c"], json!({"changed": true}));
        assert_eq!(parsed["d"]["after"]["bytes"], 2_002);
        assert!(parsed.get("a").is_none() && !changes.contains("secret"));
        assert_ne!(audit_hash(&before), audit_hash(&after));
    }
}

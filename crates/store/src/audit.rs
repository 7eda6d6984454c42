//! The audit trail: who changed what, in a chain in which nothing can be altered unseen.
//!
//! Every administrative change writes an entry in its own transaction. An entry carries the hash
//! of the one before, so changing or removing one breaks the chain there; the hash of the newest,
//! noted elsewhere, proves all of them.
//!
//! What an entry says about values lies beside the chain, which holds a salted digest of it:
//! erasing an application takes the values away, and the chain verifies as before
//! (docs/decisions/0009).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256, digest};
use domain::{ApiKeyId, ApplicationId, OrganizationKey, Timestamp};
use serde_json::{Value, json};

use crate::{
    ApiKeyRow, Application, Endpoint, Error, EventTypeRow, Job, Page, PageRequest, RequestReplay,
    Source, Store,
};

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
    /// - Once housekeeping has erased an application, its entries are there without their values.
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
    /// SHA-256 of what [`AuditValues`] holds: what the chain carries of it.
    pub digest: [u8; 32],
    /// What was and is; `None` once the application was erased.
    pub values: Option<AuditValues>,
}

/// What an entry says about the values of a thing: all that is erased with its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditValues {
    /// Goes into the digest and is erased with the rest, so that nobody can try guesses on it.
    pub salt: [u8; 16],
    /// SHA-256 of all its fields before; `None` when it was made.
    pub before: Option<[u8; 32]>,
    /// SHA-256 of all its fields after; `None` when it is gone.
    pub after: Option<[u8; 32]>,
    /// What changed, a JSON object: each field with what it was and is.
    pub changes: String,
}

impl AuditValues {
    fn digest(&self) -> [u8; 32] {
        let mut parts = Parts::new();
        parts.put(Some(&self.salt));
        parts.put(self.before.as_ref().map(<[u8; 32]>::as_slice));
        parts.put(self.after.as_ref().map(<[u8; 32]>::as_slice));
        parts.put(Some(self.changes.as_bytes()));
        parts.finish()
    }
}

/// A change that is to be noted.
#[derive(Clone, Debug)]
pub struct AuditChange<'a> {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub author: Author,
    /// What, as a noun and a verb.
    pub action: &'a str,
    /// The id or name of the thing.
    pub target: String,
    /// Its application, for what belongs to one.
    pub application: Option<ApplicationId>,
    /// The thing before.
    pub before: Option<AuditFields>,
    /// The thing after.
    pub after: Option<AuditFields>,
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
    /// Makes the entry of a change, behind the entry with this number and hash.
    ///
    /// Its salt is drawn from `seed`, which is secret and stored nowhere.
    pub fn of(
        end: (i64, [u8; 32]),
        seed: &[u8; 32],
        organization: OrganizationKey,
        change: AuditChange<'_>,
    ) -> Self {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        let values = AuditValues {
            salt: salt(seed, organization, end),
            before: before.map(audit_hash),
            after: after.map(audit_hash),
            changes: audit_changes(before, after),
        };
        let entry = AuditEntry {
            at: change.at,
            author: change.author,
            action: change.action.to_owned(),
            target: change.target,
            application: change.application,
            digest: values.digest(),
            values: Some(values),
        };
        Self::behind(end, entry)
    }

    fn behind((number, hash): (i64, [u8; 32]), entry: AuditEntry) -> Self {
        let number = number + 1;
        Self {
            number,
            hash: link(number, &hash, &entry),
            entry,
        }
    }

    /// Says whether this is what follows the entry with this number and hash, its values
    /// included if they are there.
    pub fn follows(&self, (number, hash): (i64, [u8; 32])) -> bool {
        let values = self.entry.values.as_ref();
        self.number == number + 1
            && self.hash == link(self.number, &hash, &self.entry)
            && values.is_none_or(|values| values.digest() == self.entry.digest)
    }
}

/// Hashes parts with the length of each in front, so that none runs into another.
struct Parts(Context);

impl Parts {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn put(&mut self, part: Option<&[u8]>) {
        // An absent part differs from an empty one.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        self.0.update(&length.to_be_bytes());
        self.0.update(part.unwrap_or_default());
    }

    fn finish(self) -> [u8; 32] {
        let hash = self.0.finish();
        *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

/// Computes an entry's hash.
fn link(number: i64, previous: &[u8; 32], entry: &AuditEntry) -> [u8; 32] {
    let key = entry.author.key.map(|key| key.bits().to_be_bytes());
    let application = entry.application.map(|id| id.bits().to_be_bytes());
    let mut parts = Parts::new();
    parts.put(Some(previous));
    parts.put(Some(&number.to_be_bytes()));
    parts.put(Some(&entry.at.as_micros().to_be_bytes()));
    parts.put(key.as_ref().map(<[u8; 16]>::as_slice));
    parts.put(entry.author.request.as_ref().map(String::as_bytes));
    parts.put(Some(entry.action.as_bytes()));
    parts.put(Some(entry.target.as_bytes()));
    parts.put(application.as_ref().map(<[u8; 16]>::as_slice));
    parts.put(Some(&entry.digest));
    parts.finish()
}

/// Draws the salt of the entry behind this one: who does not know the seed cannot compute it.
fn salt(seed: &[u8; 32], organization: OrganizationKey, end: (i64, [u8; 32])) -> [u8; 16] {
    let mut parts = Parts::new();
    parts.put(Some(seed));
    parts.put(Some(&organization.0.to_be_bytes()));
    parts.put(Some(&end.0.to_be_bytes()));
    parts.put(Some(&end.1));
    let hash = parts.finish();
    *hash.first_chunk().expect("a half of 32 bytes")
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

impl Audited for Source {
    fn audit_fields(&self) -> AuditFields {
        let mut secrets = Vec::new();
        for secret in &self.secrets {
            secrets.extend_from_slice(&secret.sealed.0);
            let expires = secret.expires.map_or(0, Timestamp::as_micros);
            secrets.extend_from_slice(&expires.to_be_bytes());
        }
        let settings = serde_json::from_str(&self.settings);
        let settings = settings.unwrap_or_else(|_| json!(self.settings));
        [
            ("uid", text(self.uid.as_ref())),
            ("name", text(Some(&self.name))),
            ("provider", text(Some(&self.provider))),
            ("settings", AuditField::Shown(settings)),
            ("paused", AuditField::Shown(json!(self.paused))),
            ("awaitsHandshake", text(self.awaits_handshake)),
            ("token", AuditField::Hidden(self.token.hash.to_vec())),
            ("secrets", AuditField::Hidden(secrets)),
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
            ("featureFlags", AuditField::Shown(json!(self.feature_flags))),
            ("groupName", text(self.group.as_ref())),
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
            (
                "requests",
                match &self.requests {
                    None => AuditField::Shown(Value::Null),
                    Some(criteria) => AuditField::Shown(format!("{criteria:?}").into()),
                },
            ),
        ]
        .into()
    }
}

impl Audited for RequestReplay {
    fn audit_fields(&self) -> AuditFields {
        [
            ("verify", AuditField::Shown(json!(self.verify))),
            ("deduplicate", AuditField::Shown(json!(self.deduplicate))),
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

    const SEED: &[u8; 32] = &[7; 32];

    fn noted(end: (i64, [u8; 32]), seed: &[u8; 32], action: &str, target: &str) -> AuditRow {
        let change = AuditChange {
            at: Timestamp::from_micros(1),
            author: Author::default(),
            action,
            target: target.to_owned(),
            application: None,
            before: None,
            after: Some([("name", text(Some("Shop")))].into()),
        };
        AuditRow::of(end, seed, OrganizationKey(1), change)
    }

    #[test]
    fn an_entry_follows_what_it_was_put_behind_and_nothing_else() {
        let start = (0, [0; 32]);
        let first = noted(start, SEED, "a", "b");
        let second = noted((1, first.hash), SEED, "a", "b");

        assert!(first.follows(start));
        assert!(second.follows((1, first.hash)));
        assert!(!second.follows(start));
        assert!(!second.follows((1, [0; 32])));
        let moved = noted(start, SEED, "ab", "");
        assert_ne!(first.hash, moved.hash);
        let mut edited = second;
        edited.entry.author.request = Some(String::new());
        assert!(!edited.follows((1, first.hash)));
    }

    #[test]
    fn values_may_go_from_an_entry_and_not_change() {
        let start = (0, [0; 32]);
        let whole = noted(start, SEED, "a", "b");
        let mut erased = whole.clone();
        erased.entry.values = None;
        assert!(erased.follows(start));

        let changed: [fn(&mut AuditValues); 3] = [
            |values| values.changes.push(' '),
            |values| values.before = Some([0; 32]),
            |values| values.salt[0] ^= 1,
        ];
        for change in changed {
            let mut row = whole.clone();
            change(row.entry.values.as_mut().unwrap());
            assert!(!row.follows(start));
        }
    }

    #[test]
    fn nobody_can_try_guesses_on_a_digest_whose_salt_is_gone() {
        let start = (0, [0; 32]);
        let one = noted(start, SEED, "a", "b").entry;
        let other = noted(start, &[8; 32], "a", "b").entry;
        let later = noted((1, [0; 32]), SEED, "a", "b").entry;

        // The same change with the same values.
        assert_ne!(one.digest, other.digest);
        assert_ne!(one.digest, later.digest);
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

//! Schemas of event types: checked when they are written, and kept by publishes that must match.
//!
//! Which event types of an organization are enforced is held in memory as a set of names, so that
//! a publish of any other costs one look-up. Compiled schemas are kept in a bounded table, and all
//! of an organization's are forgotten when one of its event types changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use domain::{EventType, Limits, OrganizationKey};
use engine::MessageDraft;
use schema::{Bounds, Mismatch, Schema};
use serde_json::Value;
use store::{EventTypeChange, EventTypeRow};

use crate::Service;
use crate::error::{Error, FieldError};
use crate::fields::Fields;

/// Event types whose compiled schemas are kept; beyond, the table starts anew.
const COMPILED_MAX: usize = 128;
/// Organizations whose names are kept; beyond, the table starts anew.
const ORGANIZATIONS_MAX: usize = 10_000;
/// A larger payload is checked on a thread of its own, so that nobody else waits meanwhile.
const INLINE_BYTES: usize = 16 * 1024;

/// What is known of enforced event types.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    table: Mutex<Table>,
    /// Held from reading an event type to writing it: what must hold depends on both.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Table {
    enforced: HashMap<OrganizationKey, Arc<HashSet<EventType>>>,
    compiled: HashMap<(OrganizationKey, EventType), Arc<Versions>>,
    /// Counts what was forgotten, so that what was read before is not kept after it.
    changes: u64,
}

/// The compiled schemas of one event type by version, the newest first.
#[derive(Debug)]
struct Versions(Vec<(String, Schema)>);

impl Cache {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no panic while it is held")
    }

    fn forget(&self, organization: OrganizationKey) {
        let mut table = self.table();
        table.changes += 1;
        table.enforced.remove(&organization);
        table.compiled.retain(|(of, _), _| *of != organization);
    }
}

impl Versions {
    /// Finds the version that is named, or else the newest.
    fn find(&self, version: Option<&str>) -> Result<&Schema, String> {
        let found = match version {
            None => self.0.first(),
            Some(version) => self.0.iter().find(|(name, _)| name == version),
        };
        found.map(|(_, schema)| schema).ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "names no schema of the event type, which has {}",
                names.join(", ")
            )
        })
    }
}

/// Versions are numbers as a rule: `10` is newer than `9`, and than what is no number.
fn rank(version: &str) -> (Option<u64>, &str) {
    (version.parse().ok(), version)
}

pub(crate) fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        nodes: limits.schema_nodes,
        patterns: limits.schema_patterns,
        steps: limits.schema_steps,
    }
}

fn parsed(schemas: &str) -> Option<serde_json::Map<String, Value>> {
    serde_json::from_str(schemas).ok()
}

/// Checks schemas as they are written. Those of an earlier draft are kept and not understood,
/// unless they are to be enforced.
pub(crate) fn check(fields: &mut Fields, schemas: &str, enforced: bool, limits: &Limits) {
    let versions = parsed(schemas).unwrap_or_default();
    if enforced && versions.is_empty() {
        fields.fault(&["enforceSchema"], "needs at least one schema");
    }
    if versions.len() > limits.schema_versions {
        let (len, max) = (versions.len(), limits.schema_versions);
        let msg = format!("has {len} versions; at most {max} are allowed");
        fields.fault(&["schemas"], msg);
        return;
    }
    for (version, document) in versions {
        if !enforced && schema::is_other_draft(&document) {
            continue;
        }
        if let Err(error) = Schema::compile(&document, bounds(limits)) {
            let mut place = vec!["schemas", version.as_str()];
            place.extend(error.place.iter().map(String::as_str));
            fields.fault(&place, &error);
        }
    }
}

impl Service {
    /// Refuses a change after which an event type would be enforced without usable schemas.
    pub(crate) fn check_enforced(
        &self,
        before: Option<&EventTypeRow>,
        change: &EventTypeChange,
    ) -> Result<(), Error> {
        let was = before.is_some_and(|before| before.enforced);
        let enforced = change.enforced.unwrap_or(was);
        let stored = before.and_then(|before| before.schemas.clone());
        let is_given = change.schemas.is_some();
        if !is_given && !enforced {
            return Ok(());
        }
        let schemas = change.schemas.clone().unwrap_or(stored);
        let mut fields = Fields::default();
        let schemas = schemas.as_deref().unwrap_or("{}");
        check(&mut fields, schemas, enforced, self.limits());
        fields.check()
    }

    /// Tells publishes that an event type changed.
    pub(crate) fn event_types_changed(&self, organization: OrganizationKey) {
        self.0.schemas.forget(organization);
    }

    /// Refuses messages that do not match the schema of their event type, where one is enforced.
    ///
    /// `versions` names the schema for each message.
    pub(crate) async fn enforce_schemas(
        &self,
        organization: OrganizationKey,
        drafts: &[MessageDraft],
        versions: &[Option<String>],
        is_batch: bool,
    ) -> Result<(), Error> {
        let enforced = self.enforced(organization).await?;
        if enforced.is_empty() {
            return Ok(());
        }
        let mut faults = Vec::new();
        for (index, draft) in drafts.iter().enumerate() {
            if !enforced.contains(&draft.event_type) {
                continue;
            }
            let version = versions.get(index).cloned().flatten();
            let found = self.mismatches(organization, draft, version).await?;
            let prefix = if is_batch {
                vec!["messages".to_owned(), index.to_string()]
            } else {
                Vec::new()
            };
            faults.extend(found.into_iter().map(|mut fault| {
                fault.loc.splice(0..0, prefix.iter().cloned());
                fault
            }));
            if faults.len() >= schema::MISMATCHES_MAX {
                break; // A thousand bad items need no more explaining than twenty.
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(faults))
        }
    }

    async fn enforced(
        &self,
        organization: OrganizationKey,
    ) -> Result<Arc<HashSet<EventType>>, Error> {
        let changes = {
            let table = self.0.schemas.table();
            if let Some(names) = table.enforced.get(&organization) {
                return Ok(Arc::clone(names));
            }
            table.changes
        };
        let names = self.store().enforced_event_types(organization).await?;
        let names: Arc<HashSet<EventType>> = Arc::new(names.into_iter().collect());
        let mut table = self.0.schemas.table();
        if table.changes == changes {
            if table.enforced.len() >= ORGANIZATIONS_MAX {
                table.enforced.clear();
            }
            table.enforced.insert(organization, Arc::clone(&names));
        }
        Ok(names)
    }

    async fn mismatches(
        &self,
        organization: OrganizationKey,
        draft: &MessageDraft,
        version: Option<String>,
    ) -> Result<Vec<FieldError>, Error> {
        let key = (organization, draft.event_type.clone());
        let known = self.0.schemas.table().compiled.get(&key).cloned();
        let versions = match known {
            Some(versions) => versions,
            None => match self.compile(key).await? {
                Ok(versions) => versions,
                Err(fault) => return Ok(vec![fault]),
            },
        };
        let payload = draft.payload.bytes.clone();
        if payload.len() <= INLINE_BYTES {
            return Ok(against(&versions, version.as_deref(), &payload));
        }
        tokio::task::spawn_blocking(move || against(&versions, version.as_deref(), &payload))
            .await
            .map_err(|error| Error::Failed(format!("a check of a schema ended: {error}")))
    }

    /// Compiles the schemas of an event type; the inner error is one of the event type's.
    async fn compile(
        &self,
        key: (OrganizationKey, EventType),
    ) -> Result<Result<Arc<Versions>, FieldError>, Error> {
        let changes = self.0.schemas.table().changes;
        let row = self.store().event_type(key.0, &key.1).await?;
        let schemas = row.and_then(|row| row.schemas);
        let documents = schemas.as_deref().and_then(parsed).unwrap_or_default();
        let mut versions = Vec::with_capacity(documents.len());
        for (version, document) in documents {
            // It was compiled when it was written; a setting may be lower now.
            match Schema::compile(&document, bounds(self.limits())) {
                Ok(schema) => versions.push((version, schema)),
                Err(error) => {
                    let msg = format!("has a schema that cannot be checked: {error}");
                    return Ok(Err(FieldError::value(vec!["eventType".into()], msg)));
                }
            }
        }
        versions.sort_by(|(a, _), (b, _)| rank(b).cmp(&rank(a)));
        let versions = Arc::new(Versions(versions));
        let mut table = self.0.schemas.table();
        if table.changes == changes {
            if table.compiled.len() >= COMPILED_MAX {
                table.compiled.clear();
            }
            table.compiled.insert(key, Arc::clone(&versions));
        }
        Ok(Ok(versions))
    }
}

fn against(versions: &Versions, version: Option<&str>, payload: &Bytes) -> Vec<FieldError> {
    let schema = match versions.find(version) {
        Ok(schema) => schema,
        Err(msg) => return vec![FieldError::value(vec!["schemaVersion".into()], msg)],
    };
    let Ok(value) = serde_json::from_slice(payload) else {
        let msg = "is not JSON, and the schema of its event type is enforced";
        return vec![FieldError::value(vec!["payload".into()], msg)];
    };
    let place = |mismatch: Mismatch| {
        let mut loc = vec!["payload".to_owned()];
        loc.extend(mismatch.path);
        FieldError {
            loc,
            msg: mismatch.msg,
            kind: "schema_error",
        }
    };
    match schema.check(&value) {
        Ok(()) => Vec::new(),
        Err(mismatches) => mismatches.into_iter().map(place).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_has_the_highest_number() {
        let mut versions = ["9", "draft", "10", "1"];

        versions.sort_by(|a, b| rank(b).cmp(&rank(a)));

        assert_eq!(versions, ["10", "9", "1", "draft"]);
    }
}

//! Event types: the catalogue of what an organization publishes.

use domain::EventType;
use store::{
    Cursor, Endpoint, EventTypeChange, EventTypeRow, Idempotency, NewEventType, Page, PageRequest,
    Scope,
};

use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::{Service, Upserted};

/// An event type as a caller describes it, all but its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTypeInput {
    /// For people.
    pub description: String,
    /// Hidden from lists.
    pub archived: bool,
    /// Still sent, no longer recommended.
    pub deprecated: bool,
    /// Shown only to those who have one of these flags; to everybody without any.
    pub feature_flags: Vec<String>,
    /// What it is listed under.
    pub group: Option<String>,
    /// JSON Schemas by version, as the text of a JSON object.
    pub schemas: Option<String>,
    /// Messages must match a schema; `None` leaves it as it is, and is no for a new one.
    pub enforced: Option<bool>,
}

/// Some fields of an event type; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTypePatch {
    /// For people.
    pub description: Option<String>,
    /// Hidden from lists.
    pub archived: Option<bool>,
    /// Still sent, no longer recommended.
    pub deprecated: Option<bool>,
    /// Flags, or none.
    pub feature_flags: Option<Vec<String>>,
    /// A group, or none.
    pub group: Option<Option<String>>,
    /// JSON Schemas by version, as the text of a JSON object, or none.
    pub schemas: Option<Option<String>>,
    /// Messages must match a schema, or need not.
    pub enforced: Option<bool>,
}

impl From<EventTypeInput> for EventTypePatch {
    fn from(input: EventTypeInput) -> Self {
        Self {
            description: Some(input.description),
            archived: Some(input.archived),
            deprecated: Some(input.deprecated),
            feature_flags: Some(input.feature_flags),
            group: Some(input.group),
            schemas: Some(input.schemas),
            enforced: input.enforced,
        }
    }
}

impl Service {
    /// Creates an event type, or revives an archived one.
    pub async fn create_event_type(
        &self,
        caller: Caller,
        name: &str,
        input: EventTypeInput,
        idempotency: Option<Idempotency>,
    ) -> Result<EventTypeRow, Error> {
        let name = EventType::parse(name).map_err(|error| Error::field(&["name"], error))?;
        let change = self.event_type_change(input.into())?;
        self.check_enforced(None, &change)?;
        let new = NewEventType {
            organization: caller.organization,
            name,
            description: change.description.unwrap_or_default(),
            archived: change.archived.unwrap_or_default(),
            deprecated: change.deprecated.unwrap_or_default(),
            feature_flags: change.feature_flags.unwrap_or_default(),
            group: change.group.flatten(),
            schemas: change.schemas.flatten(),
            enforced: change.enforced.unwrap_or_default(),
            event_types_max: self.limits().event_types as u64,
            now: change.now,
            idempotency,
        };
        let created = self
            .store_as(caller)
            .create_event_type(new)
            .await?
            .into_inner();
        self.event_types_changed(caller.organization);
        Ok(created)
    }

    /// Replaces an event type, or creates it.
    pub async fn put_event_type(
        &self,
        caller: Caller,
        name: &EventType,
        input: EventTypeInput,
    ) -> Result<Upserted<EventTypeRow>, Error> {
        let patch = input.clone().into();
        match self.patch_event_type(caller, name, patch).await {
            Ok(changed) => Ok(Upserted::Existing(changed)),
            Err(Error::NotFound(_)) => {
                let created = self
                    .create_event_type(caller, name.as_str(), input, None)
                    .await?;
                Ok(Upserted::Created(created))
            }
            Err(error) => Err(error),
        }
    }

    /// Changes some fields of an event type.
    pub async fn patch_event_type(
        &self,
        caller: Caller,
        name: &EventType,
        patch: EventTypePatch,
    ) -> Result<EventTypeRow, Error> {
        let change = self.event_type_change(patch)?;
        let organization = caller.organization;
        let _writing = self.0.schemas.writing.lock().await;
        if change.schemas.is_some() || change.enforced.is_some() {
            let before = self.store().event_type(organization, name).await?;
            self.check_enforced(before.as_ref(), &change)?;
        }
        let store = self.store_as(caller);
        let changed = store.update_event_type(organization, name, change).await?;
        self.event_types_changed(organization);
        Ok(changed)
    }

    /// Reads one event type, archived or not.
    pub async fn event_type(
        &self,
        caller: Caller,
        name: &EventType,
    ) -> Result<EventTypeRow, Error> {
        let flags = self.flags(caller).await?;
        self.store()
            .event_type(caller.organization, name)
            .await?
            .filter(|row| is_shown(row, flags.as_deref()))
            .ok_or(Error::NotFound("event type"))
    }

    /// Lists event types by name, archived ones only when asked for.
    pub async fn event_types(
        &self,
        caller: Caller,
        with_archived: bool,
        page: PageRequest<EventType>,
    ) -> Result<Page<EventTypeRow>, Error> {
        let flags = self.flags(caller).await?;
        let mut page = page;
        loop {
            let mut found = self
                .store()
                .event_types(caller.organization, with_archived, page.clone())
                .await?;
            let next = match &page.cursor {
                Some(Cursor::Before(_)) => found
                    .items
                    .first()
                    .map(|row| Cursor::Before(row.name.clone())),
                _ => found
                    .items
                    .last()
                    .map(|row| Cursor::After(row.name.clone())),
            };
            found.items.retain(|row| is_shown(row, flags.as_deref()));
            // A page of nothing but hidden ones would not say where the next one begins.
            if found.done || !found.items.is_empty() {
                return Ok(found);
            }
            page.cursor = next;
        }
    }

    /// Returns the feature flags of a portal token; `None` for keys, which are shown everything.
    async fn flags(&self, caller: Caller) -> Result<Option<Vec<String>>, Error> {
        let (Scope::Portal, Some(id)) = (caller.scope, caller.key) else {
            return Ok(None);
        };
        let session = self.store().portal_session(id).await?;
        Ok(Some(
            session.map_or_else(Vec::new, |session| session.feature_flags),
        ))
    }

    /// Refuses that a customer names an event type that is hidden from it, unless the endpoint has
    /// it already. To the customer such a name is one that nobody has.
    pub(crate) async fn check_flags(
        &self,
        caller: Caller,
        named: Option<&[String]>,
        existing: Option<&Endpoint>,
    ) -> Result<(), Error> {
        let (Some(named), Some(flags)) = (named, self.flags(caller).await?) else {
            return Ok(());
        };
        let has = existing.and_then(|endpoint| endpoint.subscription.event_types.as_ref());
        let mut fields = Fields::default();
        for (index, text) in named.iter().enumerate() {
            let is_had = has.is_some_and(|has| has.iter().any(|one| one.to_string() == *text));
            // What is no event type is refused with the other fields.
            let Some(name) = EventType::parse(text).ok().filter(|_| !is_had) else {
                continue;
            };
            let row = self.store().event_type(caller.organization, &name).await?;
            if row.is_some_and(|row| !is_shown(&row, Some(&flags))) {
                let msg = "is not an event type that exists";
                fields.fault(&["eventTypes", &index.to_string()], msg);
            }
        }
        fields.check()
    }

    /// Archives an event type, or erases it when `expunge`.
    pub async fn delete_event_type(
        &self,
        caller: Caller,
        name: &EventType,
        expunge: bool,
    ) -> Result<(), Error> {
        let now = self.now();
        let organization = caller.organization;
        self.store_as(caller)
            .delete_event_type(organization, name, expunge, now)
            .await?;
        self.event_types_changed(organization);
        Ok(())
    }

    fn event_type_change(&self, patch: EventTypePatch) -> Result<EventTypeChange, Error> {
        let limits = self.limits();
        let mut fields = Fields::default();
        if let Some(description) = &patch.description {
            fields.text("description", description, 0, limits.description_chars);
        }
        let feature_flags = patch.feature_flags.map(|flags| {
            // A flag is written like an event type.
            let parse = |flag: &str| EventType::parse(flag).map(|flag| flag.to_string());
            fields.names("featureFlags", &flags, limits.portal_flags, parse)
        });
        if let Some(Some(group)) = &patch.group {
            // A group is written like the start of an event type.
            fields.take(&["groupName"], EventType::parse(group));
        }
        if let Some(Some(schemas)) = &patch.schemas {
            check_schemas(&mut fields, schemas, limits.schema_bytes);
        }
        fields.check()?;
        Ok(EventTypeChange {
            description: patch.description,
            archived: patch.archived,
            deprecated: patch.deprecated,
            feature_flags,
            group: patch.group,
            schemas: patch.schemas,
            enforced: patch.enforced,
            now: self.now(),
        })
    }
}

fn is_shown(row: &EventTypeRow, flags: Option<&[String]>) -> bool {
    let is_open = row.feature_flags.is_empty();
    is_open || flags.is_none_or(|flags| row.feature_flags.iter().any(|flag| flags.contains(flag)))
}

fn check_schemas(fields: &mut Fields, schemas: &str, bytes_max: usize) {
    let bytes = schemas.len();
    if bytes > bytes_max {
        let msg = format!("has {bytes} bytes; at most {bytes_max} are allowed");
        fields.fault(&["schemas"], msg);
    } else if domain::json_nesting_exceeds(schemas.as_bytes()) {
        fields.fault(&["schemas"], "is nested too deeply");
    }
}

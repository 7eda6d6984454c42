//! Many event types at once, from a description of them all.

use std::collections::BTreeSet;

use domain::EventType;
use store::{EventTypeRow, Order, PageRequest};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::event_types::EventTypeInput;

/// An event type of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedEventType {
    /// Its name.
    pub name: String,
    /// What is said of it; flags, group and enforcement stay as they are.
    pub input: EventTypeInput,
}

impl Service {
    /// Returns the names of those that an import would create, change or archive, in order.
    pub async fn plan_import(
        &self,
        caller: Caller,
        imported: &[ImportedEventType],
        replace_all: bool,
    ) -> Result<Vec<String>, Error> {
        let max = self.limits().event_types;
        if imported.len() > max {
            let msg = format!(
                "has {} event types; at most {max} are allowed",
                imported.len()
            );
            return Err(Error::field(&["spec"], msg));
        }
        let mut names = BTreeSet::new();
        for one in imported {
            let name = EventType::parse(&one.name)
                .map_err(|error| Error::field(&["spec", "webhooks", &one.name], error))?;
            let row = self.store().event_type(caller.organization, &name).await?;
            if row.is_none_or(|row| differs(&row, &one.input)) {
                names.insert(one.name.clone());
            }
        }
        if replace_all {
            let named: BTreeSet<&str> = imported.iter().map(|one| one.name.as_str()).collect();
            let others = self.live_event_types(caller).await?;
            let others = others.into_iter().map(|name| name.to_string());
            names.extend(others.filter(|name| !named.contains(name.as_str())));
        }
        Ok(names.into_iter().collect())
    }

    /// Creates and changes event types as described, one after the other, and archives all others
    /// with `replace_all`; returns the names of those that were touched.
    ///
    /// What fails stops it: what was done until then stays, and doing it again goes on from there.
    pub async fn import_event_types(
        &self,
        caller: Caller,
        imported: &[ImportedEventType],
        replace_all: bool,
    ) -> Result<Vec<String>, Error> {
        let names = self.plan_import(caller, imported, replace_all).await?;
        for text in &names {
            let name = EventType::parse(text).map_err(|error| Error::field(&["spec"], error))?;
            let Some(one) = imported.iter().find(|one| one.name == *text) else {
                self.delete_event_type(caller, &name, false).await?;
                continue;
            };
            let row = self.store().event_type(caller.organization, &name).await?;
            let mut input = one.input.clone();
            if let Some(row) = row {
                input.feature_flags = row.feature_flags;
                input.group = row.group;
            }
            self.put_event_type(caller, &name, input).await?;
        }
        Ok(names)
    }

    async fn live_event_types(&self, caller: Caller) -> Result<Vec<EventType>, Error> {
        let mut names: Vec<EventType> = Vec::new();
        loop {
            let page = PageRequest {
                limit: 250,
                order: Order::Ascending,
                cursor: names.last().cloned().map(store::Cursor::After),
            };
            let found = self
                .store()
                .event_types(caller.organization, false, page)
                .await?;
            names.extend(found.items.into_iter().map(|row| row.name));
            if found.done {
                return Ok(names);
            }
        }
    }
}

fn differs(row: &EventTypeRow, input: &EventTypeInput) -> bool {
    let as_value = |text: Option<&String>| {
        text.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
    };
    row.archived
        || row.description != input.description
        || row.deprecated != input.deprecated
        || as_value(row.schemas.as_ref()) != as_value(input.schemas.as_ref())
}

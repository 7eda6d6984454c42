//! Example messages of event types, sent to one endpoint to try it.

use domain::EventType;
use engine::{MessageDraft, PublishRequest};
use serde_json::{Map, Value};
use store::{
    ApplicationRef, EndpointRef, EventTypeRow, Idempotency, MessageRef, MessageRow, OnEventId,
    Payload, Scope,
};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::publish::PayloadInput;

/// How deep a schema is followed.
const DEPTH_MAX: u8 = 16;

/// An example to send as a caller describes it.
#[derive(Clone, Copy, Debug)]
pub struct ExampleInput<'a> {
    /// Whose example.
    pub event_type: &'a str,
    /// Which of the schema's examples, counted from 0, if it has a list of them.
    pub index: u32,
    /// The text of the JSON value to send in place of an example.
    pub payload: Option<&'a str>,
}

impl Service {
    /// Sends the example of an event type, or another payload, to one endpoint, whatever that
    /// subscribed to.
    pub async fn send_example(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        input: ExampleInput<'_>,
        idempotency: Option<Idempotency>,
    ) -> Result<MessageRow, Error> {
        if input.payload.is_some() && caller.scope == Scope::Portal {
            // A customer looks at what comes; what it says is the operator's alone.
            return Err(Error::Forbidden);
        }
        let event_type = EventType::parse(input.event_type)
            .map_err(|error| Error::field(&["eventType"], error))?;
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        if endpoint.disabled.is_some() {
            return Err(Error::EndpointDisabled);
        }
        // It is named in the body: what does not exist there is a fault of that field.
        let row = match self.event_type(caller, &event_type).await {
            Err(Error::NotFound(_)) => {
                return Err(Error::field(
                    &["eventType"],
                    "is not an event type that exists",
                ));
            }
            row => row?,
        };
        let payload = self.example_payload(&row, &input)?;
        let draft = MessageDraft {
            event_type,
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            deliver_at: None,
            retention: None,
            ordering_key: None,
            payload,
        };
        let drafts = vec![draft];
        if input.payload.is_some() {
            let organization = caller.organization;
            self.enforce_schemas(organization, &drafts, &[None], false)
                .await?;
            self.spend(&caller, 1)?;
        }
        let request = PublishRequest {
            organization: caller.organization,
            application: ApplicationRef::Id(endpoint.application_id),
            only: caller.application,
            endpoint: Some(endpoint.key),
            messages: drafts,
            on_event_id: OnEventId::Refuse,
            idempotency,
            reception: None,
        };
        let published = self.engine().publish(request).await.inspect_err(|_| {
            if input.payload.is_some() {
                self.refund(&caller, 1);
            }
        });
        let published = published?.messages;
        let id = published.first().map(|one| one.id);
        let id = id.ok_or_else(|| Error::Failed("a publish was answered with nothing".into()))?;
        self.message_in(endpoint.application, &MessageRef::Id(id))
            .await
    }

    fn example_payload(
        &self,
        row: &EventTypeRow,
        input: &ExampleInput<'_>,
    ) -> Result<Payload, Error> {
        if let Some(text) = input.payload {
            let mut fields = Fields::default();
            let payload = self.payload(&mut fields, &PayloadInput::Json(text), false)?;
            return payload.ok_or(Error::NoExample);
        }
        let schemas = row.schemas.as_deref();
        let example = schemas.and_then(|schemas| example_of(schemas, input.index));
        match example.ok_or(Error::NoExample)? {
            Chosen::Example(example) => Ok(Payload {
                bytes: example.to_string().into(),
                content_type: None,
            }),
            Chosen::OneOf(count) => {
                let msg = format!("must be below {count}, the number of examples");
                Err(Error::field(&["exampleIndex"], msg))
            }
        }
    }

    /// Says whether a message would go to any endpoint.
    pub async fn has_destination(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        event_type: &EventType,
        channels: &[domain::Channel],
    ) -> Result<bool, Error> {
        let application = self.application(caller, application).await?.id;
        let application = ApplicationRef::Id(application);
        let routes = self.store().routes(caller.organization, &application);
        let routes = routes.await?.ok_or(Error::NotFound("application"))?;
        Ok(routes.endpoints.iter().any(|endpoint| {
            endpoint.disabled.is_none() && endpoint.subscription.matches(event_type, channels)
        }))
    }
}

/// What was found of an example.
#[derive(Debug, PartialEq)]
enum Chosen {
    Example(Value),
    /// There are only so many.
    OneOf(usize),
}

/// Finds an example in the newest of an event type's schemas: of a list of them the one at
/// `index`, otherwise the one there is.
fn example_of(schemas: &str, index: u32) -> Option<Chosen> {
    let versions: Map<String, Value> = serde_json::from_str(schemas).ok()?;
    let newest = versions
        .iter()
        .max_by_key(|(version, _)| version.parse::<u64>().unwrap_or_default())?;
    let listed = newest.1.get("examples").and_then(Value::as_array);
    if let Some(listed) = listed.filter(|listed| !listed.is_empty()) {
        let chosen = usize::try_from(index).ok().and_then(|at| listed.get(at));
        return Some(chosen.map_or(Chosen::OneOf(listed.len()), |one| {
            Chosen::Example(one.clone())
        }));
    }
    from_schema(newest.1, 0).map(Chosen::Example)
}

/// Takes the example that a schema gives, or puts one together from those of its parts.
fn from_schema(schema: &Value, depth: u8) -> Option<Value> {
    let first = |field: &str| schema.get(field)?.get(0).cloned();
    let given = first("examples")
        .or_else(|| schema.get("example").cloned())
        .or_else(|| schema.get("default").cloned())
        .or_else(|| schema.get("const").cloned())
        .or_else(|| first("enum"));
    if given.is_some() || depth == DEPTH_MAX {
        return given;
    }
    if let Some(items) = schema.get("items") {
        return Some(Value::Array(vec![from_schema(items, depth + 1)?]));
    }
    let properties = schema.get("properties")?.as_object()?;
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &String| {
        let mut names = required.into_iter().flatten();
        names.any(|one| one.as_str() == Some(name))
    };
    let mut example = Map::new();
    for (name, property) in properties {
        match from_schema(property, depth + 1) {
            Some(value) => drop(example.insert(name.clone(), value)),
            None if is_required(name) => return None,
            None => {}
        }
    }
    (!example.is_empty()).then_some(Value::Object(example))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_taken_from_the_newest_schema_or_put_together() {
        for (schemas, expected) in [
            (
                r#"{"1": {"examples": [{"n": 1}, {"n": 2}]}}"#,
                Some(r#"{"n":1}"#),
            ),
            (
                r#"{"2": {"example": 2}, "10": {"example": 10}}"#,
                Some("10"),
            ),
            (
                r#"{"1": {"required": ["a"], "properties":
                    {"a": {"enum": ["x"]}, "b": {"items": {"default": 1}},
                     "c": {"type": "null"}}}}"#,
                Some(r#"{"a":"x","b":[1]}"#),
            ),
            (
                r#"{"1": {"required": ["a"], "properties": {"a": {}, "b": {"const": 1}}}}"#,
                None,
            ),
            (r#"{"1": {"type": "object"}}"#, None),
            ("{}", None),
        ] {
            let found = example_of(schemas, 0).map(|found| match found {
                Chosen::Example(value) => value.to_string(),
                Chosen::OneOf(_) => panic!("there is a first one"),
            });

            assert_eq!(found.as_deref(), expected, "{schemas}");
        }
    }

    #[test]
    fn an_index_chooses_among_listed_examples_alone() {
        let listed = r#"{"1": {"examples": [{"n": 1}, {"n": 2}]}}"#;
        let second = serde_json::json!({"n": 2});
        assert_eq!(example_of(listed, 1), Some(Chosen::Example(second)));
        assert_eq!(example_of(listed, 2), Some(Chosen::OneOf(2)));
        let single = r#"{"1": {"example": 7}}"#;
        assert_eq!(example_of(single, 2), Some(Chosen::Example(7.into())));
    }
}

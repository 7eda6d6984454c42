//! `/api/v1/event-type/import/openapi`: event types from the webhooks of an OpenAPI description.

use std::collections::{BTreeMap, BTreeSet};

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use service::{EventTypeInput, ImportedEventType, Service};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, Body};
use crate::openapi::Docs;

pub(crate) fn routes() -> ApiRouter<Service> {
    let docs = Docs("Event Type").post(
        "v1.event-type.import-openapi",
        "Take event types from the webhooks of an OpenAPI description",
    );
    ApiRouter::new().api_route("/api/v1/event-type/import/openapi", post_with(import, docs))
}

/// An OpenAPI description, given as `spec` or as `specRaw`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeImportOpenApiIn {
    /// Say what would change, and change nothing
    #[serde(default)]
    dry_run: bool,
    /// Archive the event types that the description does not have
    #[serde(default)]
    replace_all: bool,
    /// The description
    spec: Option<Map<String, Value>>,
    /// The description as a text of JSON
    spec_raw: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct EventTypeImportOpenApiOut {
    data: EventTypeImportOpenApiOutData,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct EventTypeImportOpenApiOutData {
    /// The names of the event types that were created, changed or archived
    modified: Vec<String>,
    /// What a dry run would create or change
    #[serde(skip_serializing_if = "Option::is_none")]
    to_modify: Option<Vec<EventTypeFromOpenApi>>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeFromOpenApi {
    name: String,
    description: String,
    /// JSON Schemas by version
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    schemas: Option<Value>,
    deprecated: bool,
}

impl EventTypeFromOpenApi {
    fn to_imported(&self) -> ImportedEventType {
        ImportedEventType {
            name: self.name.clone(),
            input: EventTypeInput {
                description: self.description.clone(),
                archived: false,
                deprecated: self.deprecated,
                feature_flags: Vec::new(),
                group: None,
                schemas: self.schemas.as_ref().map(Value::to_string),
                enforced: None,
            },
        }
    }
}

async fn import(
    State(service): State<Service>,
    access: Access,
    body: Body<EventTypeImportOpenApiIn>,
) -> Result<Found<EventTypeImportOpenApiOut>, ApiError> {
    let given: EventTypeImportOpenApiIn = body.parse()?;
    let key = body.idempotency(&service, access)?;
    let (dry_run, replace_all) = (given.dry_run, given.replace_all);
    let found = event_types(&description(given)?)?;
    let imported: Vec<_> = found
        .iter()
        .map(EventTypeFromOpenApi::to_imported)
        .collect();
    let plan = service.plan_import(access.caller, &imported, replace_all);
    let modified = if dry_run {
        plan.await?
    } else {
        let import = service.import_event_types(access.caller, &imported, replace_all);
        // Of an import that is done, nothing is left to change.
        service.once(key, import, plan).await?
    };
    let to_modify = dry_run.then(|| {
        let is_changed = |one: &EventTypeFromOpenApi| modified.contains(&one.name);
        found.into_iter().filter(is_changed).collect()
    });
    Ok(Answer(EventTypeImportOpenApiOut {
        data: EventTypeImportOpenApiOutData {
            modified,
            to_modify,
        },
    }))
}

fn description(given: EventTypeImportOpenApiIn) -> Result<Map<String, Value>, ApiError> {
    match (given.spec, given.spec_raw) {
        (Some(spec), None) => Ok(spec),
        (None, Some(text)) => serde_json::from_str(&text).map_err(|error| {
            let msg = format!("must be an OpenAPI description as JSON, which YAML is not: {error}");
            ApiError::field(&["body", "specRaw"], msg)
        }),
        (None, None) => Err(ApiError::field(
            &["body", "spec"],
            "or `specRaw` must be given",
        )),
        (Some(_), Some(_)) => Err(ApiError::field(
            &["body", "specRaw"],
            "must not be given beside `spec`",
        )),
    }
}

/// Reads `webhooks` (OpenAPI 3.1) or `x-webhooks`: the key of each is an event type's name.
fn event_types(spec: &Map<String, Value>) -> Result<Vec<EventTypeFromOpenApi>, ApiError> {
    const METHODS: [&str; 3] = ["post", "put", "patch"];
    let webhooks = spec.get("webhooks").or_else(|| spec.get("x-webhooks"));
    let Some(webhooks) = webhooks.and_then(Value::as_object) else {
        let msg = "has no `webhooks`, whose keys are the names of event types";
        return Err(ApiError::field(&["body", "spec"], msg));
    };
    let mut found = Vec::new();
    for (name, item) in webhooks {
        let item = resolved(spec, item);
        let Some(operation) = METHODS.iter().find_map(|method| item.get(method)) else {
            let msg = "has no `post`";
            return Err(ApiError::field(&["body", "spec", "webhooks", name], msg));
        };
        let text = |field: &str| operation.get(field).and_then(Value::as_str);
        let schema = schema_of(spec, operation);
        found.push(EventTypeFromOpenApi {
            name: name.clone(),
            description: text("description")
                .or(text("summary"))
                .unwrap_or_default()
                .to_owned(),
            schemas: schema.map(|schema| json!({"1": schema})),
            deprecated: operation.get("deprecated") == Some(&Value::Bool(true)),
        });
    }
    Ok(found)
}

fn schema_of(spec: &Map<String, Value>, operation: &Value) -> Option<Value> {
    let body = resolved(spec, operation.get("requestBody")?);
    let content = body.get("content")?.as_object()?;
    let json = content
        .get("application/json")
        .or_else(|| content.values().next())?;
    Some(self_contained(spec, json.get("schema")?))
}

/// Follows a reference within the description, once.
fn resolved<'a>(spec: &'a Map<String, Value>, value: &'a Value) -> &'a Value {
    let target = value.get("$ref").and_then(Value::as_str);
    let parts = target.and_then(|target| target.strip_prefix("#/components/"));
    let found = parts.and_then(|parts| {
        let start = spec.get("components")?;
        parts.split('/').try_fold(start, |at, part| at.get(part))
    });
    found.unwrap_or(value)
}

/// Takes what a schema refers to into its own `$defs`.
fn self_contained(spec: &Map<String, Value>, schema: &Value) -> Value {
    let mut schema = schema.clone();
    let mut wanted = BTreeSet::new();
    point_inwards(&mut schema, &mut wanted);
    let mut definitions = Map::new();
    let components = spec.get("components").and_then(|all| all.get("schemas"));
    while let Some(name) = wanted.pop_first() {
        if definitions.contains_key(&name) {
            continue;
        }
        let mut definition = components.and_then(|all| all.get(&name)).cloned();
        if let Some(definition) = &mut definition {
            point_inwards(definition, &mut wanted);
        }
        definitions.insert(name, definition.unwrap_or(Value::Bool(true)));
    }
    if let (Some(schema), false) = (schema.as_object_mut(), definitions.is_empty()) {
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

/// Makes references to components of the description references to `$defs`, and notes their names.
fn point_inwards(value: &mut Value, wanted: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(name) = target.strip_prefix("#/components/schemas/")
            {
                wanted.insert(name.to_owned());
                *target = format!("#/$defs/{name}");
            }
            fields
                .values_mut()
                .for_each(|field| point_inwards(field, wanted));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| point_inwards(item, wanted)),
        _ => {}
    }
}

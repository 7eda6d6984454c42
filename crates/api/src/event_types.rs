//! `/api/v1/event-type`: the catalogue of what an organization publishes.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use domain::EventType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use service::{EventTypeInput, EventTypePatch, EventTypeRow, Order, Service};

use crate::answer::{Answer, Created, Found, NoContent, Upserted};
use crate::error::ApiError;
use crate::extract::{Access, Body, EventTypePath, Path, Query};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;
use crate::wire::{double_option, object};

const DOCS: Docs = Docs("Event Type");

pub(crate) fn routes() -> ApiRouter<Service> {
    let create_docs = DOCS.post("v1.event-type.create", "Create or revive an event type");
    let put_docs = DOCS.op("v1.event-type.update", "Replace or create an event type");
    let patch_docs = DOCS.op("v1.event-type.patch", "Change an event type");
    let delete_docs = DOCS.op("v1.event-type.delete", "Archive or erase an event type");
    ApiRouter::new()
        .api_route(
            "/api/v1/event-type",
            get_with(list, DOCS.op("v1.event-type.list", "List event types"))
                .post_with(create, create_docs),
        )
        .api_route(
            "/api/v1/event-type/{event_type_name}",
            get_with(get, DOCS.op("v1.event-type.get", "Get an event type"))
                .put_with(put, put_docs)
                .patch_with(patch, patch_docs)
                .delete_with(delete, delete_docs),
        )
}

/// JSON Schemas by version.
type Schemas = BTreeMap<String, Box<RawValue>>;
/// The same, as it is described.
type SchemasSchema = BTreeMap<String, BTreeMap<String, Value>>;

/// An event type to create.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeIn {
    /// Such as `content.published`
    name: String,
    description: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    deprecated: bool,
    /// The same as `featureFlags` with this one
    feature_flag: Option<String>,
    /// Shown in the portal only to those who have one of these
    feature_flags: Option<Vec<String>>,
    /// What it is listed under, written like an event type
    group_name: Option<String>,
    /// JSON Schemas by version
    #[schemars(with = "Option<SchemasSchema>")]
    schemas: Option<Schemas>,
    /// Refuse messages that do not match a schema; left out, it stays as it is
    enforce_schema: Option<bool>,
}

/// An event type to replace one by, or to create under the name of the path.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeUpdate {
    description: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    deprecated: bool,
    /// The same as `featureFlags` with this one
    feature_flag: Option<String>,
    /// Shown in the portal only to those who have one of these
    feature_flags: Option<Vec<String>>,
    /// What it is listed under, written like an event type
    group_name: Option<String>,
    /// JSON Schemas by version
    #[schemars(with = "Option<SchemasSchema>")]
    schemas: Option<Schemas>,
    /// Refuse messages that do not match a schema; left out, it stays as it is
    enforce_schema: Option<bool>,
}

/// Fields of an event type to change; those left out stay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "a patch has three cases: leave, clear, set"
)]
struct EventTypePatchIn {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<String>")]
    feature_flag: Option<Option<String>>,
    /// Shown in the portal only to those who have one of these
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<String>>")]
    feature_flags: Option<Option<Vec<String>>>,
    /// What it is listed under, written like an event type
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<String>")]
    group_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<SchemasSchema>")]
    schemas: Option<Option<Schemas>>,
    /// Refuse messages that do not match a schema
    enforce_schema: Option<bool>,
}

/// An event type.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeOut {
    name: String,
    description: String,
    archived: bool,
    deprecated: bool,
    /// The first of `featureFlags`
    #[serde(skip_serializing_if = "Option::is_none")]
    feature_flag: Option<String>,
    /// Shown in the portal only to those who have one of these; to everybody without
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    feature_flags: Vec<String>,
    /// What it is listed under
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SchemasSchema>")]
    schemas: Option<Box<RawValue>>,
    /// Messages that do not match a schema are refused
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    enforce_schema: bool,
    created_at: String,
    updated_at: String,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct ListQuery {
    /// Archived ones too
    #[serde(default)]
    include_archived: bool,
    /// With their schemas
    #[serde(default)]
    with_content: bool,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct DeleteQuery {
    /// Erase it instead of archiving it
    #[serde(default)]
    expunge: bool,
}

/// Returns schemas as the text of one JSON object; each must be an object itself.
fn schemas_text(schemas: Option<Schemas>) -> Result<Option<String>, ApiError> {
    let Some(schemas) = schemas else {
        return Ok(None);
    };
    if let Some((version, _)) = schemas.iter().find(|(_, s)| object(s.get()).is_none()) {
        let version = version.escape_debug().to_string();
        let place = ["body", "schemas", &version];
        return Err(ApiError::field(&place, "must be an object"));
    }
    Ok(serde_json::to_string(&schemas).ok())
}

/// Returns the flags that the older field and the newer one name. Beside the list, the one must
/// be of it, so that what was answered can be sent back.
fn flags(one: Option<String>, many: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let place = ["body", "featureFlag"];
    match (one, many) {
        (Some(one), Some(many)) if !many.contains(&one) => {
            Err(ApiError::field(&place, "is not in `featureFlags`"))
        }
        (_, Some(many)) => Ok(many),
        (Some(one), None) => match EventType::parse(&one) {
            Ok(_) => Ok(vec![one]),
            Err(error) => Err(ApiError::field(&place, error)),
        },
        (None, None) => Ok(Vec::new()),
    }
}

impl EventTypeUpdate {
    fn into_input(self) -> Result<EventTypeInput, ApiError> {
        Ok(EventTypeInput {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            feature_flags: flags(self.feature_flag, self.feature_flags)?,
            group: self.group_name,
            schemas: schemas_text(self.schemas)?,
            enforced: self.enforce_schema,
        })
    }
}

impl EventTypeIn {
    fn into_parts(self) -> Result<(String, EventTypeInput), ApiError> {
        let input = EventTypeInput {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            feature_flags: flags(self.feature_flag, self.feature_flags)?,
            group: self.group_name,
            schemas: schemas_text(self.schemas)?,
            enforced: self.enforce_schema,
        };
        Ok((self.name, input))
    }
}

impl EventTypePatchIn {
    fn into_patch(self) -> Result<EventTypePatch, ApiError> {
        let is_named = self.feature_flag.is_some() || self.feature_flags.is_some();
        let named = flags(
            self.feature_flag.flatten(),
            self.feature_flags.map(Option::unwrap_or_default),
        )?;
        let feature_flags = is_named.then_some(named);
        Ok(EventTypePatch {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            feature_flags,
            group: self.group_name,
            schemas: self.schemas.map(schemas_text).transpose()?,
            enforced: self.enforce_schema,
        })
    }
}

impl EventTypeOut {
    fn with_schemas(row: EventTypeRow) -> Self {
        let schemas = row.schemas.as_deref().and_then(object);
        Self {
            schemas,
            ..Self::without_schemas(row)
        }
    }

    fn without_schemas(row: EventTypeRow) -> Self {
        Self {
            name: row.name.to_string(),
            description: row.description,
            archived: row.archived,
            deprecated: row.deprecated,
            feature_flag: row.feature_flags.first().cloned(),
            feature_flags: row.feature_flags,
            group_name: row.group,
            schemas: None,
            enforce_schema: row.enforced,
            created_at: row.created.to_string(),
            updated_at: row.updated.to_string(),
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
    Query(query): Query<ListQuery>,
) -> Result<Found<ListResponse<EventTypeOut>>, ApiError> {
    let request = page.request::<EventType>(order.or(Order::Ascending))?;
    let found = service
        .event_types(access.caller, query.include_archived, request.clone())
        .await?;
    let out = if query.with_content {
        EventTypeOut::with_schemas
    } else {
        EventTypeOut::without_schemas
    };
    let list = ListResponse::new(&request, found, |row| row.name.clone(), out);
    Ok(Answer(list))
}

async fn create(
    State(service): State<Service>,
    access: Access,
    body: Body<EventTypeIn>,
) -> Result<Created<EventTypeOut>, ApiError> {
    let (name, input) = body.parse::<EventTypeIn>()?.into_parts()?;
    let idempotency = body.idempotency(&service, access)?;
    let created = service
        .create_event_type(access.caller, &name, input, idempotency)
        .await?;
    Ok(Answer(EventTypeOut::with_schemas(created)))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EventTypePath>,
) -> Result<Found<EventTypeOut>, ApiError> {
    let row = service.event_type(access.caller, &path.parse()?).await?;
    Ok(Answer(EventTypeOut::with_schemas(row)))
}

async fn put(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EventTypePath>,
    body: Body<EventTypeUpdate>,
) -> Result<Upserted<EventTypeOut>, ApiError> {
    let input = body.parse::<EventTypeUpdate>()?.into_input()?;
    let put = service
        .put_event_type(access.caller, &path.parse()?, input)
        .await?;
    Ok(Upserted::from(put, EventTypeOut::with_schemas))
}

async fn patch(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EventTypePath>,
    body: Body<EventTypePatchIn>,
) -> Result<Found<EventTypeOut>, ApiError> {
    let patch = body.parse::<EventTypePatchIn>()?.into_patch()?;
    let row = service
        .patch_event_type(access.caller, &path.parse()?, patch)
        .await?;
    Ok(Answer(EventTypeOut::with_schemas(row)))
}

async fn delete(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EventTypePath>,
    Query(query): Query<DeleteQuery>,
) -> Result<NoContent, ApiError> {
    service
        .delete_event_type(access.caller, &path.parse()?, query.expunge)
        .await?;
    Ok(NoContent)
}

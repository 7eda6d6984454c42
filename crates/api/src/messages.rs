//! `/api/v1/app/{app_id}/msg`: messages, as they were published.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Channel, EventType, MessageKey, Tag, Timestamp};
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use service::{MessageInput, MessageQuery, MessageRow, Order, Payload, Published, Service};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, AppPath, Flag, List, MessagePath, Parsed, Path, Query};
use crate::list::{ListResponse, PageQuery};
use crate::openapi::Docs;
use crate::problem::Code;
use crate::wire::{empty_object, object_or_empty};

const DOCS: Docs = Docs("Message");

pub(crate) fn routes() -> ApiRouter<Service> {
    let raw_docs = DOCS.bytes(
        "v1.message.get-raw",
        "Get a message's payload, byte for byte",
    );
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/msg",
            get_with(
                list,
                DOCS.op("v1.message.list", "List messages, newest first"),
            ),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/{msg_id}",
            get_with(get, DOCS.op("v1.message.get", "Get a message")),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/{msg_id}/raw",
            get_with(raw, raw_docs),
        )
}

/// A message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageOut {
    id: String,
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    /// `{}` when it was not asked for, is erased, or is not a JSON object
    #[schemars(with = "BTreeMap<String, Value>")]
    pub(crate) payload: Box<RawValue>,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<String>,
    /// What it keeps its order by
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<String>,
}

fn some_texts<T: ToString>(names: &[T]) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.iter().map(T::to_string).collect())
}

impl MessageOut {
    /// Shows a message about to be published, without its payload.
    pub(crate) fn of_input(input: &MessageInput<'_>) -> Self {
        Self {
            id: String::new(),
            event_type: input.event_type.to_string(),
            event_id: input.event_id.as_ref().map(ToString::to_string),
            channels: some_texts(&input.channels),
            tags: some_texts(&input.tags),
            payload: empty_object(),
            timestamp: String::new(),
            deliver_at: input.deliver_at.as_ref().map(ToString::to_string),
            ordering_key: input.ordering_key.as_ref().map(ToString::to_string),
        }
    }

    /// Adds what publishing gave it.
    pub(crate) fn published(mut self, published: Published) -> Self {
        self.id = published.id.to_string();
        self.timestamp = published.at.to_string();
        self
    }

    /// Shows a stored message.
    pub(crate) fn of_row(row: MessageRow, with_content: bool) -> Self {
        let payload = row.payload.filter(|_| with_content);
        Self {
            id: row.id.to_string(),
            event_type: row.event_type.to_string(),
            event_id: row.event_id.map(|id| id.to_string()),
            channels: some_texts(&row.channels),
            tags: some_texts(&row.tags),
            payload: payload.map_or_else(empty_object, |payload| shown(&payload)),
            timestamp: row.at.to_string(),
            deliver_at: row.deliver_at.map(|at| at.to_string()),
            ordering_key: row.ordering_key.map(|key| key.to_string()),
        }
    }
}

fn shown(payload: &Payload) -> Box<RawValue> {
    match (std::str::from_utf8(&payload.bytes), &payload.content_type) {
        (Ok(text), None) => object_or_empty(text),
        _ => empty_object(),
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// Only with this channel
    channel: Option<Parsed<Channel>>,
    /// Only with this tag
    tag: Option<Parsed<Tag>>,
    /// Only of these event types
    event_types: Option<List<EventType>>,
    /// Only published before
    before: Option<Parsed<Timestamp>>,
    /// Only published after
    after: Option<Parsed<Timestamp>>,
    /// With payloads
    #[serde(default = "Flag::on")]
    with_content: Flag,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct GetQuery {
    /// With its payload
    #[serde(default = "Flag::on")]
    with_content: Flag,
}

impl From<ListQuery> for MessageQuery {
    fn from(query: ListQuery) -> Self {
        Self {
            channel: query.channel.map(|Parsed(channel)| channel),
            tag: query.tag.map(|Parsed(tag)| tag),
            event_types: query.event_types.map(|List(types)| types),
            before: query.before.map(|Parsed(at)| at),
            after: query.after.map(|Parsed(at)| at),
            with_content: query.with_content.0,
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(page): Query<PageQuery>,
    Query(query): Query<ListQuery>,
) -> Result<Found<ListResponse<MessageOut>>, ApiError> {
    let request = page.request::<MessageKey>(Order::Descending)?;
    let query = MessageQuery::from(query);
    let application = path.application()?;
    let found = service
        .messages(access.caller, &application, &query, request.clone())
        .await?;
    let show = |row| MessageOut::of_row(row, query.with_content);
    let list = ListResponse::new(&request, found, |row| row.id.key(), show);
    Ok(Answer(list))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<MessagePath>,
    Query(query): Query<GetQuery>,
) -> Result<Found<MessageOut>, ApiError> {
    let (application, message) = path.parse()?;
    let row = service
        .message(access.caller, &application, &message)
        .await?;
    Ok(Answer(MessageOut::of_row(row, query.with_content.0)))
}

async fn raw(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<MessagePath>,
) -> Result<Response, ApiError> {
    let (application, message) = path.parse()?;
    let row = service
        .message(access.caller, &application, &message)
        .await?;
    let Some(payload) = row.payload else {
        let detail = "The payload of this message was erased.";
        return Err(ApiError::Plain(Code::NotFound, detail.into()));
    };
    let given = payload.content_type.as_deref().map(HeaderValue::from_str);
    let json = HeaderValue::from_static("application/json");
    // Bytes from anybody: never to be shown by a browser as a page of ours.
    let headers = [
        (
            header::CONTENT_TYPE,
            given.and_then(Result::ok).unwrap_or(json),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    Ok((headers, payload.bytes).into_response())
}

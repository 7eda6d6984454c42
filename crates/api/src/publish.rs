//! Publishing: `POST …/msg` and `POST …/msg/batch`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use service::{MessageInput, PayloadInput, PublishInput, Published, Service};

use crate::answer::{Accepted, Answer};
use crate::applications::ApplicationIn;
use crate::error::ApiError;
use crate::extract::{Access, AppPath, BatchBytes, Body, Flag, Path, PublishBytes, Query};
use crate::messages::MessageOut;
use crate::openapi::Docs;
use crate::wire::{Text, empty_object, object_or_empty};

const DOCS: Docs = Docs("Message");

pub(crate) fn routes() -> ApiRouter<Service> {
    let batch_docs = DOCS.post(
        "v1.message.create-batch",
        "Publish many messages, all or none",
    );
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/msg",
            post_with(create, DOCS.post("v1.message.create", "Publish a message")),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/batch",
            post_with(create_batch, batch_docs),
        )
}

/// A message to publish.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageIn<'a> {
    /// What kind of event it tells, such as `content.published`
    #[serde(borrow)]
    event_type: Text<'a>,
    /// What is sent, byte for byte as it stands here
    #[serde(borrow)]
    #[schemars(with = "BTreeMap<String, Value>")]
    payload: &'a RawValue,
    /// Your own id of the message, refused when the application has a message with it
    #[serde(borrow)]
    event_id: Option<Text<'a>>,
    /// What endpoints may filter by, at most 10
    #[serde(borrow)]
    channels: Option<Vec<Text<'a>>>,
    /// Labels for searching, at most 8
    #[serde(borrow)]
    tags: Option<Vec<Text<'a>>>,
    /// When to deliver, one minute to 24 hours from now
    #[serde(borrow)]
    deliver_at: Option<Text<'a>>,
    /// Messages with the same key, at most 128 characters, reach each endpoint one after the other
    /// in the order of publishing
    #[serde(borrow)]
    ordering_key: Option<Text<'a>>,
    /// How many days the payload is kept, 5 to 90
    payload_retention_period: Option<i64>,
    /// How many hours the payload is kept, 1 to 2160; goes before the days
    payload_retention_hours: Option<i64>,
    /// Which version of its event type's schema it is made after; the newest when left out
    #[serde(borrow)]
    schema_version: Option<Text<'a>>,
    /// Creates the application if it does not exist
    application: Option<ApplicationIn>,
    #[serde(borrow)]
    transformations_params: Option<TransformationsParams<'a>>,
}

/// Another payload than JSON.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TransformationsParams<'a> {
    /// What is sent in place of `payload`
    #[serde(borrow)]
    raw_payload: Option<Text<'a>>,
    #[serde(borrow)]
    headers: Option<RawHeaders<'a>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct RawHeaders<'a> {
    /// The content type of `rawPayload`; `application/json` when left out
    #[serde(borrow, rename = "content-type")]
    content_type: Option<Text<'a>>,
}

/// Messages to publish.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct BatchIn<'a> {
    /// 1 to 1000 messages
    #[serde(borrow)]
    messages: Vec<MessageIn<'a>>,
}

/// What became of a batch, in its order.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct BatchOut {
    data: Vec<BatchItemOut>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct BatchItemOut {
    id: String,
    timestamp: String,
    /// The event id exists; this is the message that has it
    duplicate: bool,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct CreateQuery {
    /// Answer with the payload
    #[serde(default = "Flag::on")]
    with_content: Flag,
}

fn texts(texts: Option<Vec<Text<'_>>>) -> Vec<Cow<'_, str>> {
    texts.into_iter().flatten().map(|Text(text)| text).collect()
}

fn text(text: Option<Text<'_>>) -> Option<Cow<'_, str>> {
    text.map(|Text(text)| text)
}

impl<'a> MessageIn<'a> {
    fn into_input(self) -> MessageInput<'a> {
        MessageInput {
            event_type: self.event_type.0,
            event_id: text(self.event_id),
            channels: texts(self.channels),
            tags: texts(self.tags),
            payload: payload(self.payload, self.transformations_params),
            deliver_at: text(self.deliver_at),
            ordering_key: text(self.ordering_key),
            retention_days: self.payload_retention_period,
            retention_hours: self.payload_retention_hours,
            schema_version: text(self.schema_version),
        }
    }
}

fn payload<'a>(json: &'a RawValue, params: Option<TransformationsParams<'a>>) -> PayloadInput<'a> {
    let Some(TransformationsParams {
        raw_payload: Some(Text(text)),
        headers,
    }) = params
    else {
        return PayloadInput::Json(json.get());
    };
    let content_type = headers
        .and_then(|headers| headers.content_type)
        .map(|Text(text)| text);
    PayloadInput::Raw { text, content_type }
}

/// Returns the payload as it is shown in the answer.
fn echo(payload: &PayloadInput<'_>) -> Box<RawValue> {
    match payload {
        PayloadInput::Json(text) => object_or_empty(text),
        PayloadInput::Raw {
            text,
            content_type: None,
        } => object_or_empty(text),
        PayloadInput::Raw { .. } => empty_object(),
    }
}

async fn create(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(query): Query<CreateQuery>,
    body: Body<MessageIn<'static>, PublishBytes>,
) -> Result<Accepted<MessageOut>, ApiError> {
    body.check_hops()?;
    let mut message: MessageIn<'_> = body.parse()?;
    let create_application = message.application.take().map(Into::into);
    let message = message.into_input();
    let mut out = MessageOut::of_input(&message);
    if query.with_content.0 {
        out.payload = echo(&message.payload);
    }
    let publish = PublishInput {
        caller: access.caller,
        application: path.application()?,
        create_application,
        messages: vec![message],
        is_batch: false,
        idempotency: body.idempotency(&service, access)?,
    };
    let published = service.publish(publish).await?;
    let first = published.first().copied();
    Ok(Answer(out.published(first.ok_or_else(unanswered)?)))
}

fn unanswered() -> ApiError {
    ApiError::Internal("a publish of one message was answered with none".into())
}

async fn create_batch(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<BatchIn<'static>, BatchBytes>,
) -> Result<Accepted<BatchOut>, ApiError> {
    body.check_hops()?;
    let mut batch: BatchIn<'_> = body.parse()?;
    let range = 1..=service.limits().batch_messages;
    if !range.contains(&batch.messages.len()) {
        let (len, max) = (batch.messages.len(), range.end());
        let msg = format!("has {len} items; 1 to {max} are allowed");
        return Err(ApiError::field(&["body", "messages"], msg));
    }
    let applications = batch.messages.iter_mut().map(|m| m.application.take());
    let create_application = applications.flatten().next().map(Into::into);
    let messages = batch.messages.into_iter().map(MessageIn::into_input);
    let publish = PublishInput {
        caller: access.caller,
        application: path.application()?,
        create_application,
        messages: messages.collect(),
        is_batch: true,
        idempotency: body.idempotency(&service, access)?,
    };
    let published = service.publish(publish).await?;
    let data = published.into_iter().map(BatchItemOut::from).collect();
    Ok(Answer(BatchOut { data }))
}

impl From<Published> for BatchItemOut {
    fn from(published: Published) -> Self {
        Self {
            id: published.id.to_string(),
            timestamp: published.at.to_string(),
            duplicate: published.duplicate,
        }
    }
}

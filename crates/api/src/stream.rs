//! `/api/v1/app/{app_id}/stream`: messages as they become durable, as server-sent events.
//!
//! Events: `open` first, with the secret if it was made here; `message` for each message, whose
//! `id` a reader gives back in `Last-Event-ID` to go on after it; `behind` when what is sent is
//! older than some seconds; `end` with a code when the server ends the stream. A comment comes
//! while nothing else does, so that both ends notice when the other is gone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::openapi::{
    HeaderStyle, MediaType, Parameter, ParameterData, ParameterSchemaOrContent, ReferenceOr,
    SchemaObject, StatusCode as DocsStatus,
};
use aide::transform::TransformOperation;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::MessageId;
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{MessageStream, Service, StreamInput, Streamed};
use tokio::time::{Instant, sleep};

use crate::error::ApiError;
use crate::extract::{Access, AppPath, Path, Query};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Message");
const SECRET: &str = Service::STREAM_SECRET;
const LAST_EVENT_ID: &str = "last-event-id";
/// The longest time without a word. Shorter than any idle timeout on the way.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the key and the application are looked up again.
const CHECK: Duration = Duration::from_secs(5);
/// A message older than this when it is sent: the reader is behind, and is told.
const BEHIND: Duration = Duration::from_secs(10);

pub(crate) fn routes() -> ApiRouter<Service> {
    ApiRouter::new().api_route("/api/v1/app/{app_id}/stream", get_with(stream, docs))
}

fn docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let describe = DOCS.op("v1.message.stream", "Follow messages as they are published");
    let mut op = describe(op);
    let operation = op.inner_mut();
    for (name, text) in [
        (
            LAST_EVENT_ID,
            "The last message received: the stream goes on after it",
        ),
        (
            SECRET,
            "The secret (`whsec_…`) to sign with; made when not given",
        ),
    ] {
        operation
            .parameters
            .push(ReferenceOr::Item(header_docs(name, text)));
    }
    let events = aide::openapi::Response {
        description: "Server-sent events: `open`, `message`, `behind`, `end`".to_owned(),
        content: [("text/event-stream".to_owned(), MediaType::default())].into(),
        ..Default::default()
    };
    let responses = operation.responses.get_or_insert_default();
    let success = DocsStatus::Code(200);
    responses
        .responses
        .insert(success, ReferenceOr::Item(events));
    op
}

fn header_docs(name: &str, text: &str) -> Parameter {
    let schema = SchemaObject {
        json_schema: schemars::json_schema!({"type": "string"}),
        example: None,
        external_docs: None,
    };
    Parameter::Header {
        parameter_data: ParameterData {
            name: name.to_owned(),
            description: Some(text.to_owned()),
            required: false,
            deprecated: None,
            format: ParameterSchemaOrContent::Schema(schema),
            example: None,
            examples: [].into(),
            explode: None,
            extensions: [].into(),
        },
        style: HeaderStyle::Simple,
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct StreamQuery {
    /// Only these event types, joined by commas; patterns such as `order.**` do as in endpoints
    types: Option<String>,
    /// How many of the newest messages come first, at most 1000
    replay_last: Option<u16>,
}

/// The data of a `message`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageEvent<'a> {
    id: &'a str,
    event_type: &'a str,
    timestamp: String,
    /// The exact bytes, where they are text; null once erased.
    body: Option<&'a str>,
    /// What a receiver verifies; none without a body.
    headers: BTreeMap<&'static str, String>,
}

async fn stream(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let types = query.types.as_deref().unwrap_or_default().split(',');
    let types = types.filter(|text| !text.is_empty()).map(str::to_owned);
    let input = StreamInput {
        types: types.collect(),
        after: last_event_id(&headers)?,
        replay_last: query.replay_last.unwrap_or_default(),
        secret: text(&headers, SECRET)?.map(str::to_owned),
    };
    let application = path.application()?;
    let (stream, secret) = service
        .open_stream(access.caller, &application, input)
        .await?;
    let open = match secret {
        Some(secret) => event("open", None, &serde_json::json!({ "secret": secret })),
        None => event("open", None, &serde_json::json!({})),
    };
    let feed = Feed {
        service,
        token: Bytes::copy_from_slice(token(&headers)),
        access,
        stream,
        pending: Some(format!("retry: 1000\n{open}")),
        told: None,
        checked: Instant::now(),
        over: false,
    };
    let events = futures_util::stream::unfold(feed, |mut feed| async move {
        let text = feed.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), feed))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    // Proxies that collect an answer before they pass it on would hold a stream for ever.
    let unbuffered = [("x-accel-buffering", "no")];
    Ok((headers, unbuffered, Body::from_stream(events)).into_response())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let value = headers.get(name).map(http::HeaderValue::to_str);
    value
        .transpose()
        .map_err(|_| ApiError::field(&["header", name], "is no text"))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<MessageId>, ApiError> {
    let given = text(headers, LAST_EVENT_ID)?.filter(|id| !id.is_empty());
    let id = given.map(str::parse).transpose();
    id.map_err(|_| ApiError::field(&["header", LAST_EVENT_ID], "is not the id of a message"))
}

/// The token, which [`Access`] has found to be good.
fn token(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(header::AUTHORIZATION);
    let value = value.map(http::HeaderValue::as_bytes).unwrap_or_default();
    crate::extract::bearer(value).unwrap_or_default()
}

/// What a stream goes on with.
struct Feed {
    service: Service,
    /// Looked up again while the stream is open: a key that is revoked sees no more.
    token: Bytes,
    access: Access,
    stream: MessageStream,
    pending: Option<String>,
    /// When the reader was last told that it is behind.
    told: Option<Instant>,
    /// When the key and the application were last looked up.
    checked: Instant,
    over: bool,
}

impl Feed {
    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if let Some(pending) = self.pending.take() {
            return Some(pending);
        }
        if self.over {
            return None;
        }
        match self.found().await {
            Ok(text) => Some(text),
            Err(code) => {
                self.over = true;
                Some(event("end", None, &serde_json::json!({ "code": code })))
            }
        }
    }

    async fn found(&mut self) -> Result<String, &'static str> {
        loop {
            if self.service.is_stopping() {
                return Err("shutting_down");
            }
            if self.checked.elapsed() >= CHECK {
                self.check().await?;
            }
            match self.stream.next().await {
                Ok(Some(message)) => return Ok(self.message(&message)),
                Ok(None) => {}
                Err(error) => return Err(code(&error)),
            }
            tokio::select! {
                biased;
                () = self.service.stopping() => {}
                () = self.stream.woken() => {}
                () = sleep(HEARTBEAT) => return Ok(": still here\n\n".to_owned()),
            }
        }
    }

    /// Ends the stream when the key or the application is no more what it was.
    async fn check(&mut self) -> Result<(), &'static str> {
        self.checked = Instant::now();
        let caller = self.service.authenticate(&self.token).await;
        let caller = caller.map_err(|error| code(&error))?;
        let request = self.access.caller.request;
        if (service::Caller { request, ..caller }) != self.access.caller {
            return Err(crate::Code::AuthenticationFailed.slug());
        }
        self.stream.check().await.map_err(|error| code(&error))
    }

    fn message(&mut self, message: &Streamed) -> String {
        let mut out = String::new();
        let late = message.signed_at.since(message.at);
        let told = self.told.is_some_and(|told| told.elapsed() < BEHIND);
        if late > BEHIND && !told {
            self.told = Some(Instant::now());
            let seconds = serde_json::json!({ "seconds": late.as_secs() });
            out.push_str(&event("behind", None, &seconds));
        }
        let id = message.id.to_string();
        let payload = message.payload.as_ref();
        let body = payload.and_then(|payload| std::str::from_utf8(&payload.bytes).ok());
        let data = MessageEvent {
            id: &id,
            event_type: message.event_type.as_str(),
            timestamp: message.at.to_string(),
            body,
            headers: headers(&id, message),
        };
        out.push_str(&event("message", Some(&id), &data));
        out
    }
}

/// The headers to deliver a message with.
fn headers(id: &str, message: &Streamed) -> BTreeMap<&'static str, String> {
    let Some(payload) = &message.payload else {
        return BTreeMap::new();
    };
    let kind = payload.content_type.as_deref();
    let signed_at = message.signed_at.as_unix_seconds().to_string();
    [
        (
            "content-type",
            kind.unwrap_or("application/json").to_owned(),
        ),
        ("webhook-id", id.to_owned()),
        ("webhook-signature", message.signature.clone()),
        ("webhook-timestamp", signed_at),
    ]
    .into()
}

/// Why the stream ends, in the word that an answer would have.
fn code(error: &service::Error) -> &'static str {
    ApiError::from(error.clone()).code().slug()
}

/// Writes an event. JSON has no line breaks, so one line of data holds it.
fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).expect("texts are JSON");
    let mut out = String::with_capacity(data.len() + 96);
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}"); // A String takes everything.
    }
    let _ = write!(out, "event: {name}\ndata: {data}\n\n");
    out
}

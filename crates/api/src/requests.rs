//! `…/request`: what sources received, and what became of it.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Cidr, EventType, MessageId, Timestamp};
use http::header;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::{
    InboundSearch, InboundVerdict, Order, RequestQuery, RequestReplay, RequestView,
    RequestsReplayInput, Service,
};
use std::collections::BTreeMap;

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, AppPath, Body, Parsed, Path, Query, RequestPath, source_ref};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;
use crate::problem::Code;
use crate::replay::Begun;

const DOCS: Docs = Docs("Request");

pub(crate) fn routes() -> ApiRouter<Service> {
    let raw_docs = DOCS.bytes("v1.request.get-raw", "Get a request's body, byte for byte");
    let replay_docs = DOCS.post_or_empty("v1.request.replay", "Put a request in again");
    let many_docs = DOCS.post_or_empty("v1.request.replay-many", "Put many requests in again");
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/request",
            get_with(list, DOCS.op("v1.request.list", "List inbound requests")),
        )
        .api_route(
            "/api/v1/app/{app_id}/request/{request_id}",
            get_with(get, DOCS.op("v1.request.get", "Get an inbound request")),
        )
        .api_route(
            "/api/v1/app/{app_id}/request/{request_id}/raw",
            get_with(raw, raw_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/request/{request_id}/view",
            get_with(as_data, DOCS.op("v1.request.view", "Get a request as data")),
        )
        .api_route(
            "/api/v1/app/{app_id}/request/{request_id}/replay",
            post_with(replay, replay_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/request/replay",
            post_with(replay_many, many_docs),
        )
}

/// Which requests are wanted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct RequestListQuery {
    verdict: Option<VerdictWire>,
    /// Only refused for this reason
    reason: Option<String>,
    /// Only of this source, by id or uid
    #[serde(alias = "sourceId")]
    source_id: Option<String>,
    /// Only those of this message
    #[serde(alias = "messageId")]
    message_id: Option<String>,
    /// Only with this id of the provider's
    #[serde(alias = "providerId")]
    provider_id: Option<String>,
    before: Option<Parsed<Timestamp>>,
    after: Option<Parsed<Timestamp>>,
    /// Only from this address or network
    peer: Option<String>,
    /// Only with this text in the path behind the token, or in the query
    path: Option<String>,
    /// Only with this header; behind a colon, with this text in its value
    header: Option<String>,
    /// Only with this text in the body
    body: Option<String>,
    /// Only that became a message of this type
    #[serde(alias = "eventType")]
    event_type: Option<Parsed<EventType>>,
}

/// The most bytes of a text that is looked for.
const SEARCHED_LEN_MAX: usize = 256;

impl RequestListQuery {
    fn search(&self) -> Result<InboundSearch, ApiError> {
        let texts = [
            ("path", &self.path),
            ("header", &self.header),
            ("body", &self.body),
        ];
        for (name, text) in texts {
            let length = text.as_ref().map_or(1, String::len);
            if length == 0 || length > SEARCHED_LEN_MAX {
                let msg = format!("must have 1 to {SEARCHED_LEN_MAX} bytes");
                return Err(ApiError::field(&["query", name], msg));
            }
        }
        let header = self.header.as_ref().map(|header| {
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        });
        let peer = self.peer.as_ref().map(|text| {
            let network = text.parse::<Cidr>();
            network.map_err(|error| ApiError::field(&["query", "peer"], error.to_string()))
        });
        Ok(InboundSearch {
            peer: peer.transpose()?,
            path: self.path.clone(),
            header,
            body: self.body.clone(),
            event_type: self.event_type.as_ref().map(|Parsed(name)| name.clone()),
        })
    }
}

/// How a request is put in again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
struct RequestReplayIn {
    /// Verify it, by the clock of when it came and the secrets of today; yes when left out
    verify: Option<bool>,
    /// Answer like the first if it came before; yes when left out
    deduplicate: Option<bool>,
}

/// Which requests are put in again, and how.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RequestReplayManyIn {
    /// Only of this source, by id or uid
    source: Option<String>,
    /// Only with one of these verdicts; rejected ones when left out
    verdicts: Option<Vec<VerdictWire>>,
    /// Only refused for this reason
    reason: Option<String>,
    /// That came then or later
    since: Option<Parsed<Timestamp>>,
    /// That came before; now when left out
    until: Option<Parsed<Timestamp>>,
    /// Verify them, by the clock of when they came and the secrets of today; yes when left out
    verify: Option<bool>,
    /// Make no message of what came before; yes when left out
    deduplicate: Option<bool>,
    /// At most so many requests per second
    rate: Option<u32>,
    /// Only count what would be put in again
    #[serde(default)]
    dry_run: bool,
}

impl RequestReplayManyIn {
    fn into_input(self) -> Result<RequestsReplayInput, ApiError> {
        let verdicts = self.verdicts.unwrap_or(vec![VerdictWire::Rejected]);
        Ok(RequestsReplayInput {
            source: self.source.as_deref().map(source_ref).transpose()?,
            verdicts: verdicts.into_iter().map(Into::into).collect(),
            reason: self.reason,
            since: self.since.map(|Parsed(at)| at),
            until: self.until.map(|Parsed(at)| at),
            replay: RequestReplay {
                verify: self.verify.unwrap_or(true),
                deduplicate: self.deduplicate.unwrap_or(true),
            },
            rate: self.rate,
        })
    }
}

/// What became of a request that was put in again.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RequestReplayOut {
    verdict: VerdictWire,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// The request that it is in the log now
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// What became of a request
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum VerdictWire {
    Accepted,
    Duplicate,
    Handshake,
    Rejected,
}

/// A request that a source received.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a mark of its own, and most are false"
)]
pub(crate) struct RequestOut {
    id: String,
    source_id: String,
    verdict: VerdictWire,
    /// Why it was refused, or what was asked
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What is probably wrong
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<String>,
    /// The message that it is; that of the first request for a duplicate
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// How many messages it made
    messages: u32,
    /// The request that it repeats
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<String>,
    /// It repeats a request that had another body
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    body_differs: bool,
    /// It was taken in although nothing proves that it is the provider's
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unverified: bool,
    /// Its signature and body came before, under another id
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replay_suspected: bool,
    /// It was put in again by hand
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    method: String,
    /// `***` stands for the token
    path: String,
    /// Where it came from
    peer: String,
    /// The id that the provider gave it
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
    /// `***` stands for credentials
    headers: Vec<HeaderOut>,
    /// How many bytes the body had
    body_bytes: u64,
    /// Only the beginning of the body was kept
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    body_truncated: bool,
    /// The body, if it is text; `…/raw` has the bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    received_at: String,
}

/// One header.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct HeaderOut {
    name: String,
    value: String,
}

impl From<InboundVerdict> for VerdictWire {
    fn from(verdict: InboundVerdict) -> Self {
        match verdict {
            InboundVerdict::Accepted => Self::Accepted,
            InboundVerdict::Duplicate => Self::Duplicate,
            InboundVerdict::Handshake => Self::Handshake,
            InboundVerdict::Rejected => Self::Rejected,
        }
    }
}

impl From<VerdictWire> for InboundVerdict {
    fn from(verdict: VerdictWire) -> Self {
        match verdict {
            VerdictWire::Accepted => Self::Accepted,
            VerdictWire::Duplicate => Self::Duplicate,
            VerdictWire::Handshake => Self::Handshake,
            VerdictWire::Rejected => Self::Rejected,
        }
    }
}

impl From<RequestView> for RequestOut {
    fn from(view: RequestView) -> Self {
        let row = view.row;
        let headers = view.headers.into_iter();
        let body = row
            .body
            .and_then(|body| String::from_utf8(body.into()).ok());
        Self {
            id: row.id.to_string(),
            source_id: row.source_id.to_string(),
            verdict: row.verdict.into(),
            reason: row.reason,
            diagnosis: row.diagnosis,
            message_id: row.message.map(|id| id.to_string()),
            messages: row.messages,
            duplicate_of: row.first.map(|id| id.to_string()),
            body_differs: row.marks.body_differs,
            unverified: row.marks.unverified,
            replay_suspected: row.marks.replay_suspected,
            replayed: row.marks.replayed,
            method: row.method,
            path: row.path,
            peer: row.peer,
            provider_id: row.provider_id,
            headers: headers
                .map(|(name, value)| HeaderOut { name, value })
                .collect(),
            body_bytes: row.body_len,
            body_truncated: row.marks.truncated,
            body,
            received_at: row.id.at().to_string(),
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
    Query(query): Query<RequestListQuery>,
) -> Result<Found<ListResponse<RequestOut>>, ApiError> {
    let request = page.request(order.or(Order::Descending))?;
    let message = query.message_id.as_deref().map(|text| {
        text.parse::<MessageId>()
            .map_err(|_| ApiError::field(&["query", "message_id"], "is not a message's id"))
    });
    let source = query.source_id.as_deref().map(source_ref);
    let search = query.search()?;
    let query = RequestQuery {
        verdict: query.verdict.map(Into::into),
        reason: query.reason,
        source: source.transpose()?,
        message: message.transpose()?,
        provider_id: query.provider_id,
        before: query.before.map(|Parsed(at)| at),
        after: query.after.map(|Parsed(at)| at),
        search,
    };
    let application = path.application()?;
    let found = service
        .requests(access.caller, &application, query, request.clone())
        .await?;
    let key = |view: &RequestView| view.row.id.key();
    let list = ListResponse::new(&request, found, key, RequestOut::from);
    Ok(Answer(list))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<RequestPath>,
) -> Result<Found<RequestOut>, ApiError> {
    let (application, request) = path.parse()?;
    let found = service
        .request(access.caller, &application, request)
        .await?;
    Ok(Answer(found.into()))
}

/// A request as data
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RequestDataOut {
    method: String,
    /// `***` stands for the token
    path: String,
    /// Parameters by name; one that comes again is an array
    query: Value,
    /// Headers by name in lower case; one that comes again is joined by commas
    headers: BTreeMap<String, String>,
    /// What the body was read as: `empty`, `json`, `form`, `multipart`, `xml`, `text`, `binary`
    body_kind: String,
    /// What it says
    body: Value,
}

impl RequestDataOut {
    fn read(mut data: Value) -> Option<Self> {
        let headers = data["headers"].take();
        let text = |data: &Value, name: &str| Some(data[name].as_str()?.to_owned());
        Some(Self {
            method: text(&data, "method")?,
            path: text(&data, "path")?,
            body_kind: text(&data, "bodyKind")?,
            query: data["query"].take(),
            headers: serde_json::from_value(headers).ok()?,
            body: data["body"].take(),
        })
    }
}

fn erased() -> ApiError {
    let detail = "The body of this request was erased.";
    ApiError::Plain(Code::NotFound, detail.into())
}

async fn as_data(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<RequestPath>,
) -> Result<Found<RequestDataOut>, ApiError> {
    let (application, request) = path.parse()?;
    let found = service
        .request(access.caller, &application, request)
        .await?;
    let data = found.as_data().and_then(RequestDataOut::read);
    Ok(Answer(data.ok_or_else(erased)?))
}

/// Hands the body back as bytes that no browser takes for a page.
async fn raw(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<RequestPath>,
) -> Result<Response, ApiError> {
    let (application, request) = path.parse()?;
    let found = service
        .request(access.caller, &application, request)
        .await?;
    let body = found.row.body.ok_or_else(erased)?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, body).into_response())
}

async fn replay(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<RequestPath>,
    body: Body<RequestReplayIn>,
) -> Result<Found<RequestReplayOut>, ApiError> {
    let given: RequestReplayIn = body.parse_or_default()?;
    let (application, request) = path.parse()?;
    let how = RequestReplay {
        verify: given.verify.unwrap_or(true),
        deduplicate: given.deduplicate.unwrap_or(true),
    };
    let idempotency = body.idempotency(&service, access)?;
    let replayed = service
        .replay_request(access.caller, &application, request, how, idempotency)
        .await?;
    Ok(Answer(RequestReplayOut {
        verdict: replayed.verdict.into(),
        reason: replayed.reason,
        message_id: replayed.message.map(|id| id.to_string()),
        request_id: replayed.request.map(|id| id.to_string()),
    }))
}

async fn replay_many(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<RequestReplayManyIn>,
) -> Result<Begun, ApiError> {
    let application = path.application()?;
    let given: RequestReplayManyIn = body.parse_or_default()?;
    let dry_run = given.dry_run;
    let input = given.into_input()?;
    if dry_run {
        let preview = service.preview_requests(access.caller, &application, &input);
        return Ok(Begun::Preview(preview.await?));
    }
    let idempotency = body.idempotency(&service, access)?;
    let job = service.replay_requests(access.caller, &application, input, idempotency);
    Ok(Begun::Replay(Box::new(job.await?)))
}

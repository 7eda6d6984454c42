//! Attempts and deliveries: how messages fared at their endpoints.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use domain::{AttemptStatus, Channel, EndpointKey, EventType, MessageId, Tag, Timestamp, Trigger};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{
    ApplicationRef, AttemptCursor, AttemptQuery, AttemptRow, Caller, DeliveryStatus, Destination,
    MessageRow, Order, Page, PageRequest, Service,
};

use crate::answer::{Accepted, Answer, Found};
use crate::endpoints::EndpointCommon;
use crate::error::ApiError;
use crate::extract::{
    Access, AttemptPath, EndpointMessagePath, EndpointPath, Flag, List, MessagePath, NoBody,
    Parsed, Path, Query, endpoint_ref,
};
use crate::list::{ListResponse, PageQuery};
use crate::messages::MessageOut;
use crate::openapi::Docs;

const DOCS: Docs = Docs("Message Attempt");

pub(crate) fn routes() -> ApiRouter<Service> {
    let by_endpoint = DOCS.op(
        "v1.message-attempt.list-by-endpoint",
        "List attempts to an endpoint",
    );
    let by_message = DOCS.op(
        "v1.message-attempt.list-by-msg",
        "List attempts of a message",
    );
    let destinations = DOCS.op(
        "v1.message-attempt.list-attempted-destinations",
        "List where a message goes",
    );
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}",
            get_with(list_by_endpoint, by_endpoint),
        )
        .api_route(
            "/api/v1/app/{app_id}/attempt/msg/{msg_id}",
            get_with(list_by_message, by_message),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",
            get_with(get, DOCS.op("v1.message-attempt.get", "Get an attempt")),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/{msg_id}/endpoint",
            get_with(list_destinations, destinations),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
            post_with(
                resend,
                DOCS.post("v1.message-attempt.resend", "Send a message again"),
            ),
        )
}

/// One try of a delivery.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MessageAttemptOut {
    id: String,
    msg_id: String,
    endpoint_id: String,
    /// The URL used
    url: String,
    /// The number of the attempt within its delivery, counted from 1
    number: u16,
    /// When it began
    timestamp: String,
    /// 0 success, 2 fail
    #[schemars(extend("enum" = [0, 2]))]
    status: u8,
    #[schemars(extend("enum" = ["success", "fail"]))]
    status_text: &'static str,
    /// 0 by the schedule, 1 by hand
    #[schemars(extend("enum" = [0, 1]))]
    trigger_type: u8,
    /// The answer's HTTP status; 0 without an answer
    response_status_code: u16,
    response_duration_ms: u64,
    /// The beginning of the answer's body
    response: String,
    /// Why there was no answer
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<AttemptErrorOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<MessageOut>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct AttemptErrorOut {
    /// The class of the error, such as `connection_refused`
    class: &'static str,
    /// The exact error
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// An endpoint that a message goes to, and what became of it there.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MessageEndpointOut {
    #[serde(flatten)]
    endpoint: EndpointCommon,
    /// 0 success, 1 pending, 2 fail, 3 sending; 4 canceled only with `expanded_statuses=true`
    #[schemars(extend("enum" = [0, 1, 2, 3, 4]))]
    status: u8,
    #[schemars(extend("enum" = ["success", "pending", "fail", "sending", "canceled"]))]
    status_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<String>,
}

/// Nothing.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct EmptyResponse {}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct AttemptsQuery {
    /// Only those that ended so: 0 success, 2 fail
    #[schemars(range(min = 0, max = 4))]
    status: Option<u8>,
    /// Only those whose HTTP status is of this hundred; 0 for those without an answer
    status_code_class: Option<u16>,
    /// Only of messages with this channel
    channel: Option<Parsed<Channel>>,
    /// Only of messages with this tag
    tag: Option<Parsed<Tag>>,
    /// Only of messages of these event types
    event_types: Option<List<EventType>>,
    /// Only begun before
    before: Option<Parsed<Timestamp>>,
    /// Only begun after
    after: Option<Parsed<Timestamp>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct ShowQuery {
    /// With the answers' bodies
    #[serde(default = "Flag::on")]
    with_content: Flag,
    /// With the messages
    #[serde(default)]
    with_msg: bool,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct MessageShowQuery {
    /// Only to this endpoint
    endpoint_id: Option<String>,
    /// With the answers' bodies
    #[serde(default = "Flag::on")]
    with_content: Flag,
    /// With the message
    #[serde(default)]
    with_msg: bool,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct StatusQuery {
    /// Tell canceled deliveries from failed ones
    #[serde(default)]
    expanded_statuses: bool,
}

/// A status asked for that an attempt can have, or one that none has.
enum Wanted {
    Some(AttemptQuery),
    Nothing,
}

impl AttemptsQuery {
    fn parse(self) -> Result<Wanted, ApiError> {
        let status = match self.status {
            None => None,
            Some(0) => Some(AttemptStatus::Success),
            Some(2) => Some(AttemptStatus::Fail),
            // Deliveries wait, are being sent or are canceled; an attempt has ended.
            Some(1 | 3 | 4) => return Ok(Wanted::Nothing),
            Some(_) => return Err(ApiError::field(&["query", "status"], "must be 0 to 4")),
        };
        if let Some(class) = self.status_code_class
            && !matches!(class, 0 | 100 | 200 | 300 | 400 | 500)
        {
            let msg = "must be 0, 100, 200, 300, 400 or 500";
            return Err(ApiError::field(&["query", "status_code_class"], msg));
        }
        Ok(Wanted::Some(AttemptQuery {
            status,
            status_class: self.status_code_class,
            channel: self.channel.map(|Parsed(channel)| channel),
            tag: self.tag.map(|Parsed(tag)| tag),
            event_types: self.event_types.map(|List(types)| types),
            endpoint: None,
            before: self.before.map(|Parsed(at)| at),
            after: self.after.map(|Parsed(at)| at),
        }))
    }
}

const fn nothing() -> Page<AttemptRow, AttemptCursor> {
    Page {
        items: Vec::new(),
        done: true,
        resume: None,
    }
}

const fn attempt_status(status: AttemptStatus) -> (u8, &'static str) {
    match status {
        AttemptStatus::Success => (0, "success"),
        AttemptStatus::Fail => (2, "fail"),
    }
}

/// Returns a status as the wire has it; clients that know no more than four see a canceled
/// delivery as a failed one.
pub(crate) const fn delivery_status(status: DeliveryStatus, expanded: bool) -> (u8, &'static str) {
    match status {
        DeliveryStatus::Success => (0, "success"),
        DeliveryStatus::Pending => (1, "pending"),
        DeliveryStatus::Sending => (3, "sending"),
        DeliveryStatus::Canceled if expanded => (4, "canceled"),
        DeliveryStatus::Fail | DeliveryStatus::Canceled => (2, "fail"),
    }
}

impl MessageAttemptOut {
    fn new(row: AttemptRow, with_content: bool) -> Self {
        let (status, status_text) = attempt_status(row.status);
        let response = if with_content {
            String::from_utf8_lossy(&row.response).into_owned()
        } else {
            String::new()
        };
        let detail = row.error_detail.filter(|_| with_content);
        Self {
            id: row.id.to_string(),
            msg_id: row.message.to_string(),
            endpoint_id: row.endpoint.to_string(),
            url: row.url,
            number: row.number,
            timestamp: row.at.to_string(),
            status,
            status_text,
            trigger_type: match row.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual => 1,
            },
            response_status_code: row.http_status.unwrap_or(0),
            response_duration_ms: u64::try_from(row.duration.as_millis()).unwrap_or(u64::MAX),
            response,
            error: row.error.map(|class| AttemptErrorOut {
                class: class.slug(),
                detail,
            }),
            msg: None,
        }
    }

    fn with_message(mut self, messages: &BTreeMap<MessageId, MessageRow>, id: MessageId) -> Self {
        let message = messages.get(&id).cloned();
        self.msg = message.map(|row| MessageOut::of_row(row, true));
        self
    }
}

impl MessageEndpointOut {
    fn new(destination: Destination, expanded: bool) -> Self {
        let (status, status_text) = delivery_status(destination.status, expanded);
        Self {
            endpoint: destination.endpoint.into(),
            status,
            status_text,
            next_attempt: destination.delivery.next_attempt.map(|at| at.to_string()),
        }
    }
}

async fn list_by_endpoint(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    Query(page): Query<PageQuery>,
    Query(query): Query<AttemptsQuery>,
    Query(show): Query<ShowQuery>,
) -> Result<Found<Attempts>, ApiError> {
    let request = page.request::<AttemptCursor>(Order::Descending)?;
    let (application, endpoint) = path.parse()?;
    let caller = access.caller;
    let found = match query.parse()? {
        Wanted::Nothing => nothing(),
        Wanted::Some(query) => {
            let page = request.clone();
            service
                .attempts_by_endpoint(caller, &application, &endpoint, &query, page)
                .await?
        }
    };
    let messages = if show.with_msg {
        messages(&service, caller, &application, &found).await?
    } else {
        BTreeMap::new()
    };
    Ok(Answer(shown(&request, found, &messages, show.with_content)))
}

async fn list_by_message(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<MessagePath>,
    Query(page): Query<PageQuery>,
    Query(query): Query<AttemptsQuery>,
    Query(show): Query<MessageShowQuery>,
) -> Result<Found<Attempts>, ApiError> {
    let request = page.request::<AttemptCursor>(Order::Descending)?;
    let (application, message) = path.parse()?;
    let endpoint = show.endpoint_id.as_deref().map(endpoint_ref).transpose()?;
    let caller = access.caller;
    let found = match query.parse()? {
        Wanted::Nothing => nothing(),
        Wanted::Some(query) => {
            let (of, page) = ((&application, &message), request.clone());
            service
                .attempts_by_message(caller, of, endpoint.as_ref(), &query, page)
                .await?
        }
    };
    let messages = if show.with_msg {
        messages(&service, caller, &application, &found).await?
    } else {
        BTreeMap::new()
    };
    Ok(Answer(shown(&request, found, &messages, show.with_content)))
}

/// A list of attempts as it goes out.
type Attempts = ListResponse<MessageAttemptOut>;

async fn messages(
    service: &Service,
    caller: Caller,
    application: &ApplicationRef,
    found: &Page<AttemptRow, AttemptCursor>,
) -> Result<BTreeMap<MessageId, MessageRow>, ApiError> {
    Ok(service
        .messages_of_attempts(caller, application, &found.items)
        .await?)
}

fn shown(
    request: &PageRequest<AttemptCursor>,
    found: Page<AttemptRow, AttemptCursor>,
    messages: &BTreeMap<MessageId, MessageRow>,
    with_content: Flag,
) -> Attempts {
    ListResponse::new(request, found, AttemptRow::cursor, |row| {
        let message = row.message;
        MessageAttemptOut::new(row, with_content.0).with_message(messages, message)
    })
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AttemptPath>,
) -> Result<Found<MessageAttemptOut>, ApiError> {
    let (application, message, attempt) = path.parse()?;
    let row = service
        .attempt(access.caller, &application, &message, attempt)
        .await?;
    Ok(Answer(MessageAttemptOut::new(row, true)))
}

async fn list_destinations(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<MessagePath>,
    Query(page): Query<PageQuery>,
    Query(query): Query<StatusQuery>,
) -> Result<Found<ListResponse<MessageEndpointOut>>, ApiError> {
    let request = page.request::<EndpointKey>(Order::Ascending)?;
    let (application, message) = path.parse()?;
    let caller = access.caller;
    let found = service
        .message_destinations(caller, &application, &message, request.clone())
        .await?;
    let show = |item| MessageEndpointOut::new(item, query.expanded_statuses);
    let list = ListResponse::new(&request, found, |item| item.delivery.endpoint, show);
    Ok(Answer(list))
}

async fn resend(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointMessagePath>,
    body: NoBody,
) -> Result<Accepted<EmptyResponse>, ApiError> {
    let (application, message, endpoint) = path.parse()?;
    let idempotency = body.idempotency(&service, access)?;
    service
        .resend(
            access.caller,
            &application,
            &message,
            &endpoint,
            idempotency,
        )
        .await?;
    Ok(Answer(EmptyResponse {}))
}

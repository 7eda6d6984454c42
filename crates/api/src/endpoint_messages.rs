//! `…/endpoint/{endpoint_id}/msg` and `…/stats`: what an endpoint gets and got.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use domain::{MessageKey, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{
    AttemptedMessage, DeliveryStatus, EndpointMessageQuery, EndpointStats, Order, Service, Span,
};

use crate::answer::{Answer, Found};
use crate::attempts::delivery_status;
use crate::error::ApiError;
use crate::extract::{Access, EndpointPath, Parsed, Path, Query};
use crate::list::{ListResponse, PageQuery};
use crate::messages::{ListQuery, MessageOut};
use crate::openapi::Docs;

pub(crate) fn routes() -> ApiRouter<Service> {
    let list_docs = Docs("Message Attempt").op(
        "v1.message-attempt.list-attempted-messages",
        "List the messages of an endpoint, newest first",
    );
    let stats_docs = Docs("Endpoint").op("v1.endpoint.get-stats", "Count how an endpoint fares");
    let attempts_docs = Docs("Endpoint").op(
        "v1.endpoint.get-attempt-stats",
        "Count attempts at an endpoint, by whole hours",
    );
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/attempt-stats",
            get_with(attempt_stats, attempts_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg",
            get_with(list, list_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats",
            get_with(stats, stats_docs),
        )
}

/// A message, and how its delivery to the endpoint stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointMessageOut {
    #[serde(flatten)]
    message: MessageOut,
    /// 0 success, 1 pending, 2 fail, 3 sending; 4 canceled only with `expanded_statuses=true`
    #[schemars(extend("enum" = [0, 1, 2, 3, 4]))]
    status: u8,
    #[schemars(extend("enum" = ["success", "pending", "fail", "sending", "canceled"]))]
    status_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<String>,
}

/// How attempts at an endpoint ended.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "EndpointAttemptStats")]
struct AttemptStatsOut {
    success: u64,
    fail: u64,
    /// Deliveries that were canceled
    canceled: u64,
}

/// How an endpoint fares.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "EndpointStats")]
struct StatsOut {
    /// Attempts that succeeded
    success: u64,
    /// Deliveries that wait for an attempt
    pending: u64,
    /// Deliveries whose attempt is under way
    sending: u64,
    /// Attempts that failed
    fail: u64,
    /// Deliveries that were canceled
    canceled: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
struct WantedQuery {
    /// Only those whose delivery stands so: 0 success, 1 pending, 2 fail, 3 sending, 4 canceled;
    /// 2 is canceled too without `expanded_statuses=true`
    #[schemars(range(min = 0, max = 4))]
    status: Option<u8>,
    /// Tell canceled deliveries from failed ones
    #[serde(default)]
    expanded_statuses: bool,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct SpanQuery {
    /// Count from then on
    since: Option<Parsed<Timestamp>>,
    /// Count until then
    until: Option<Parsed<Timestamp>>,
}

impl WantedQuery {
    fn parse(self) -> Result<Option<Vec<DeliveryStatus>>, ApiError> {
        let statuses = match self.status {
            None => return Ok(None),
            Some(0) => vec![DeliveryStatus::Success],
            Some(1) => vec![DeliveryStatus::Pending],
            Some(2) if self.expanded_statuses => vec![DeliveryStatus::Fail],
            Some(2) => vec![DeliveryStatus::Fail, DeliveryStatus::Canceled],
            Some(3) => vec![DeliveryStatus::Sending],
            Some(4) => vec![DeliveryStatus::Canceled],
            Some(_) => return Err(ApiError::field(&["query", "status"], "must be 0 to 4")),
        };
        Ok(Some(statuses))
    }
}

impl EndpointMessageOut {
    fn new(attempted: AttemptedMessage, with_content: bool, expanded: bool) -> Self {
        let (status, status_text) = delivery_status(attempted.status, expanded);
        let next_attempt = attempted.row.delivery.next_attempt;
        Self {
            message: MessageOut::of_row(attempted.row.message, with_content),
            status,
            status_text,
            next_attempt: next_attempt.map(|at| at.to_string()),
        }
    }
}

impl From<EndpointStats> for StatsOut {
    fn from(stats: EndpointStats) -> Self {
        Self {
            success: stats.stored.success,
            pending: stats.stored.pending,
            sending: stats.sending,
            fail: stats.stored.fail,
            canceled: stats.stored.canceled,
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    Query(page): Query<PageQuery>,
    Query(messages): Query<ListQuery>,
    Query(wanted): Query<WantedQuery>,
) -> Result<Found<ListResponse<EndpointMessageOut>>, ApiError> {
    let request = page.request::<MessageKey>(Order::Descending)?;
    let expanded = wanted.expanded_statuses;
    let query = EndpointMessageQuery {
        messages: messages.into(),
        statuses: wanted.parse()?,
    };
    let (application, endpoint) = path.parse()?;
    let found = service
        .endpoint_messages(
            access.caller,
            &application,
            &endpoint,
            &query,
            request.clone(),
        )
        .await?;
    let with_content = query.messages.with_content;
    let show = |row| EndpointMessageOut::new(row, with_content, expanded);
    let key = |one: &AttemptedMessage| one.row.message.id.key();
    Ok(Answer(ListResponse::new(&request, found, key, show)))
}

async fn stats(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    Query(query): Query<SpanQuery>,
) -> Result<Found<StatsOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let span = Span {
        since: query.since.map(|Parsed(at)| at),
        until: query.until.map(|Parsed(at)| at),
    };
    let stats = service
        .endpoint_stats(access.caller, &application, &endpoint, span)
        .await?;
    Ok(Answer(stats.into()))
}

async fn attempt_stats(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    Query(query): Query<SpanQuery>,
) -> Result<Found<AttemptStatsOut>, ApiError> {
    const HOUR: i64 = 3_600_000_000;
    let (application, endpoint) = path.parse()?;
    let hour = |at: Timestamp, up: i64| {
        let hours = (at.as_micros().saturating_add(up)).div_euclid(HOUR);
        Timestamp::from_micros(hours.saturating_mul(HOUR))
    };
    let span = Span {
        since: query.since.map(|Parsed(at)| hour(at, 0)),
        until: query.until.map(|Parsed(at)| hour(at, HOUR - 1)),
    };
    let stats = service
        .endpoint_stats(access.caller, &application, &endpoint, span)
        .await?;
    Ok(Answer(AttemptStatsOut {
        success: stats.stored.success,
        fail: stats.stored.fail,
        canceled: stats.stored.canceled,
    }))
}

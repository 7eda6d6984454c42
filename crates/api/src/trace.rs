//! `/api/v1/app/{app_id}/msg/{msg_id}/trace`: why a message went where it went, and where not.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use domain::EndpointId;
use schemars::JsonSchema;
use serde::Serialize;
use service::{DeliveryStatus, Order, Service, Trace};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, MessagePath, Path, Query};
use crate::list::{ListResponse, PageQuery};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Message");

pub(crate) fn routes() -> ApiRouter<Service> {
    let docs = DOCS.op(
        "v1.message.trace",
        "Say of each endpoint why it got a message or not",
    );
    ApiRouter::new().api_route(
        "/api/v1/app/{app_id}/msg/{msg_id}/trace",
        get_with(list, docs),
    )
}

/// What a message and one endpoint have to do with each other, by today's settings.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TraceOut {
    endpoint_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_uid: Option<String>,
    url: String,
    matched: bool,
    /// `matched`, or why not: `created_later`, `disabled`, `event_type`, `channel`,
    /// `changed_since` or `not_yet`
    verdict: &'static str,
    /// When the endpoint last changed
    endpoint_updated_at: String,
    /// It changed after the message was published, and may have been otherwise then
    changed_since: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<&'static str>,
    /// Its deliveries are held
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<TraceDeliveryOut>,
}

/// How the delivery stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TraceDeliveryOut {
    /// `success`, `pending`, `sending`, `fail` or `canceled`
    state: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<String>,
    /// The HTTP status that the newest attempt was answered with
    #[serde(skip_serializing_if = "Option::is_none")]
    last_http_status: Option<u16>,
    /// Why the newest attempt had no answer
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'static str>,
    /// The exact error, for operators
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_detail: Option<String>,
}

impl From<Trace> for TraceOut {
    fn from(trace: Trace) -> Self {
        let Trace {
            endpoint,
            verdict,
            changed_since,
            delivery,
            last_attempt,
        } = trace;
        let delivery = delivery.map(|(delivery, status)| TraceDeliveryOut {
            state: match status {
                DeliveryStatus::Success => "success",
                DeliveryStatus::Pending => "pending",
                DeliveryStatus::Sending => "sending",
                DeliveryStatus::Fail => "fail",
                DeliveryStatus::Canceled => "canceled",
            },
            attempts: delivery.attempts.into(),
            next_attempt: delivery.next_attempt.map(|at| at.to_string()),
            last_http_status: last_attempt.as_ref().and_then(|last| last.http_status),
            last_error: last_attempt
                .as_ref()
                .and_then(|last| last.error)
                .map(domain::ErrorClass::slug),
            last_error_detail: last_attempt.and_then(|last| last.error_detail),
        });
        Self {
            endpoint_id: endpoint.id.to_string(),
            endpoint_uid: endpoint.uid.map(|uid| uid.to_string()),
            url: endpoint.url.as_str().to_owned(),
            matched: delivery.is_some(),
            verdict: verdict.slug(),
            endpoint_updated_at: endpoint.updated.to_string(),
            changed_since,
            disabled_reason: endpoint.disabled.map(domain::DisabledReason::slug),
            paused: endpoint.paused,
            delivery,
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<MessagePath>,
    Query(page): Query<PageQuery>,
) -> Result<Found<ListResponse<TraceOut>>, ApiError> {
    let request = page.request::<EndpointId>(Order::Ascending)?;
    let (application, message) = path.parse()?;
    let found = service
        .trace(access.caller, &application, &message, request.clone())
        .await?;
    let list = ListResponse::new(&request, found, |item| item.endpoint.id, TraceOut::from);
    Ok(Answer(list))
}

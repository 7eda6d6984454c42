//! `/api/v1/audit`: who changed what.

use std::fmt::Write as _;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use domain::{ApiKeyId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::{AuditQuery, AuditRow, Order, Service};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, Parsed, Query};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;
use crate::wire::object_or_empty;

const DOCS: Docs = Docs("Audit");

pub(crate) fn routes() -> ApiRouter<Service> {
    let verify_docs = DOCS.op(
        "v1.audit.verify",
        "Check that no entry of the audit trail was altered or removed",
    );
    ApiRouter::new()
        .api_route(
            "/api/v1/audit",
            get_with(
                list,
                DOCS.op("v1.audit.list", "List administrative changes, newest first"),
            ),
        )
        .api_route("/api/v1/audit/verify", get_with(verify, verify_docs))
}

/// An administrative change.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AuditOut {
    /// Counts the entries, from 1 and without gaps
    number: i64,
    timestamp: String,
    /// The id of the API key; left out for what posthaste does itself
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The `x-request-id` of the request's answer
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// A noun and a verb, such as `endpoint.update`
    action: String,
    /// The id or name of the thing
    target: String,
    /// The id of its application, for what belongs to one
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    /// Its application was deleted, and what it said about values with it
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    /// SHA-256 of all its fields before
    #[serde(skip_serializing_if = "Option::is_none")]
    before_hash: Option<String>,
    /// SHA-256 of all its fields after
    #[serde(skip_serializing_if = "Option::is_none")]
    after_hash: Option<String>,
    /// Each field that changed, with what it was and is; of secrets only that they changed
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    changes: Box<RawValue>,
    /// SHA-256 of the previous entry's hash and of this entry
    hash: String,
}

/// Whether the trail is whole.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AuditVerdictOut {
    valid: bool,
    /// How many entries were checked
    entries: u64,
    /// The number of the first entry that is missing or not as it was written
    #[serde(skip_serializing_if = "Option::is_none")]
    first_broken: Option<i64>,
    /// The number of the newest entry
    newest: i64,
    /// Its hash: noted elsewhere, it proves everything up to it
    newest_hash: String,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct AuditListQuery {
    /// Only by this API key
    key: Option<Parsed<ApiKeyId>>,
    /// Only this action, such as `endpoint.update`
    action: Option<String>,
    /// Only about the thing with this id or name
    target: Option<String>,
    /// Only from before
    before: Option<Parsed<Timestamp>>,
    /// Only from after
    after: Option<Parsed<Timestamp>>,
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes what is written");
    }
    text
}

impl From<AuditRow> for AuditOut {
    fn from(row: AuditRow) -> Self {
        let entry = row.entry;
        let values = entry.values.as_ref();
        Self {
            number: row.number,
            timestamp: entry.at.to_string(),
            key: entry.author.key.map(|key| key.to_string()),
            request_id: entry.author.request,
            action: entry.action,
            target: entry.target,
            application: entry.application.map(|id| id.to_string()),
            before_hash: values
                .and_then(|values| values.before)
                .map(|hash| hex(&hash)),
            after_hash: values
                .and_then(|values| values.after)
                .map(|hash| hex(&hash)),
            changes: object_or_empty(values.map_or("{}", |values| &values.changes)),
            erased: values.is_none(),
            hash: hex(&row.hash),
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
    Query(query): Query<AuditListQuery>,
) -> Result<Found<ListResponse<AuditOut>>, ApiError> {
    let request = page.request::<i64>(order.or(Order::Descending))?;
    let query = AuditQuery {
        key: query.key.map(|Parsed(key)| key),
        action: query.action,
        target: query.target,
        before: query.before.map(|Parsed(at)| at),
        after: query.after.map(|Parsed(at)| at),
    };
    let found = service
        .audit(access.caller, &query, request.clone())
        .await?;
    let list = ListResponse::new(&request, found, |row| row.number, AuditOut::from);
    Ok(Answer(list))
}

async fn verify(
    State(service): State<Service>,
    access: Access,
) -> Result<Found<AuditVerdictOut>, ApiError> {
    let verdict = service.verify_audit(access.caller).await?;
    Ok(Answer(AuditVerdictOut {
        valid: verdict.broken.is_none(),
        entries: verdict.entries,
        first_broken: verdict.broken,
        newest: verdict.newest.0,
        newest_hash: hex(&verdict.newest.1),
    }))
}

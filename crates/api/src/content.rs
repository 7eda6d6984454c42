//! Erasing content before its time: a message's payload, an attempt's answer, all payloads.

use std::collections::{BTreeMap, BTreeSet};

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, post_with};
use axum::extract::State;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{ApplicationRef, Caller, Service};

use crate::answer::{Accepted, Answer, Found, NoContent};
use crate::background_tasks::TaskOut;
use crate::error::ApiError;
use crate::extract::{Access, AppPath, AttemptPath, Body, MessagePath, NoBody, Path, path};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Message");

pub(crate) fn routes() -> ApiRouter<Service> {
    let message_docs = DOCS.op("v1.message.expunge-content", "Erase a message's payload");
    let attempt_docs = Docs("Message Attempt").op(
        "v1.message-attempt.expunge-content",
        "Erase what is kept of an answer",
    );
    let all_docs = DOCS.post(
        "v1.message.expunge-all-contents",
        "Erase the payloads of all messages of an application",
    );
    let bulk_docs = DOCS.post(
        "v1.message.bulk-expunge-content",
        "Erase the payloads of some messages",
    );
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/msg/bulk-expunge",
            post_with(bulk, bulk_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/{msg_id}/content",
            delete_with(message, message_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
            delete_with(attempt, attempt_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/expunge-all-contents",
            post_with(all, all_docs),
        )
}

/// Which messages to erase the payloads of.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct BulkExpungeContentsIn {
    /// Ids or event ids, as many as a batch may have messages
    ids: Option<Vec<String>>,
}

/// What became of each.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct BulkExpungeContentsOut {
    /// By the id that was given
    results: BTreeMap<String, BulkExpungeStatus>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum BulkExpungeStatus {
    /// There is no payload any more
    Expunged,
    /// There is no such message in the application
    NotFound,
}

/// How many messages are erased side by side; what waits shares a commit.
const SIDE_BY_SIDE: usize = 32;

async fn bulk(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<BulkExpungeContentsIn>,
) -> Result<Found<BulkExpungeContentsOut>, ApiError> {
    let application = path.application()?;
    let given = body.parse::<BulkExpungeContentsIn>()?;
    let key = body.idempotency(&service, access)?;
    let max = service.limits().batch_messages;
    let ids: BTreeSet<String> = given.ids.into_iter().flatten().collect();
    if ids.len() > max {
        let msg = format!("has {} items; at most {max} are allowed", ids.len());
        return Err(ApiError::field(&["body", "ids"], msg));
    }
    service.application(access.caller, &application).await?;
    let each = |is_look: bool| {
        let all = ids.iter().cloned().map(|id| {
            let (service, application) = (service.clone(), application.clone());
            expunge(service, access.caller, application, id, is_look)
        });
        let all: Vec<_> = all.collect();
        stream::iter(all)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect()
    };
    // A repeat says what is there, and erases nothing.
    let results = service.once(key, each(false), each(true)).await?;
    Ok(Answer(BulkExpungeContentsOut { results }))
}

async fn expunge(
    service: Service,
    caller: Caller,
    application: ApplicationRef,
    id: String,
    is_look: bool,
) -> Result<(String, BulkExpungeStatus), service::Error> {
    let Ok(message) = path::message(&id) else {
        return Ok((id, BulkExpungeStatus::NotFound));
    };
    let done = if is_look {
        service
            .message(caller, &application, &message)
            .await
            .map(drop)
    } else {
        service
            .expunge_message(caller, &application, &message)
            .await
    };
    match done {
        Ok(()) => Ok((id, BulkExpungeStatus::Expunged)),
        Err(service::Error::NotFound(_)) => Ok((id, BulkExpungeStatus::NotFound)),
        Err(error) => Err(error),
    }
}

async fn message(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<MessagePath>,
) -> Result<NoContent, ApiError> {
    let (application, message) = path.parse()?;
    service
        .expunge_message(access.caller, &application, &message)
        .await?;
    Ok(NoContent)
}

async fn attempt(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AttemptPath>,
) -> Result<NoContent, ApiError> {
    let (application, message, attempt) = path.parse()?;
    service
        .expunge_attempt(access.caller, &application, &message, attempt)
        .await?;
    Ok(NoContent)
}

async fn all(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: NoBody,
) -> Result<Accepted<TaskOut>, ApiError> {
    let idempotency = body.idempotency(&service, access)?;
    let application = path.application()?;
    let job = service
        .purge_content(access.caller, &application, idempotency)
        .await?;
    Ok(Answer((&job).into()))
}

//! Erasing content before its time: a message's payload, an attempt's answer, all payloads.

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, post_with};
use axum::extract::State;
use service::Service;

use crate::answer::{Accepted, Answer, NoContent};
use crate::background_tasks::TaskOut;
use crate::error::ApiError;
use crate::extract::{Access, AppPath, AttemptPath, MessagePath, NoBody, Path};
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
    ApiRouter::new()
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

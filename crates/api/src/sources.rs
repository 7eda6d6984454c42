//! `…/source`: inbound URLs, and what is received at them.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{Order, Service, SourceInput, SourceRotation, SourceSecrets, SourceView};
use std::time::Duration;

use crate::answer::{Answer, Created, Found, NoContent};
use crate::error::ApiError;
use crate::extract::{Access, AppPath, Body, NoBody, Path, Query, SourcePath, parse_json};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;
use crate::source_wire::{SourceIn, SourceOut};

const DOCS: Docs = Docs("Source");

pub(crate) fn routes() -> ApiRouter<Service> {
    const ONE: &str = "/api/v1/app/{app_id}/source/{source_id}";
    let rotate_docs = DOCS.post("v1.source.rotate-secret", "Put in a secret of a source");
    let compare_docs = DOCS.post(
        "v1.source.compare-secrets",
        "Say whether a source has these secrets",
    );
    let token_docs = DOCS.post_or_empty("v1.source.rotate-token", "Give a source another URL");
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/source",
            get_with(list, DOCS.op("v1.source.list", "List sources"))
                .post_with(create, DOCS.post("v1.source.create", "Create a source")),
        )
        .api_route(
            ONE,
            get_with(get, DOCS.op("v1.source.get", "Get a source"))
                .put_with(put, DOCS.op("v1.source.update", "Replace a source"))
                .patch_with(patch, DOCS.op("v1.source.patch", "Change a source"))
                .delete_with(delete, DOCS.op("v1.source.delete", "Delete a source")),
        )
        .api_route(
            "/api/v1/app/{app_id}/source/{source_id}/secret/rotate",
            post_with(rotate_secret, rotate_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/source/{source_id}/secret/compare",
            post_with(compare, compare_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/source/{source_id}/token/rotate",
            post_with(rotate_token, token_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/source/{source_id}/pause",
            post_with(
                pause,
                DOCS.post("v1.source.pause", "Take nothing in for now"),
            ),
        )
        .api_route(
            "/api/v1/app/{app_id}/source/{source_id}/resume",
            post_with(
                resume,
                DOCS.post("v1.source.resume", "Take requests in again"),
            ),
        )
}

/// A secret to put in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SourceSecretRotateIn {
    /// The new secret, as the provider writes it
    secret: String,
    /// How long the others still count, at most 604800; a day when left out
    grace_period_seconds: Option<u32>,
}

/// What a source is thought to have.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SourceCompareIn {
    /// Its current secrets, in any order; those that were replaced are not meant
    secrets: Vec<String>,
    /// Its verify token, if it has one
    verify_token: Option<String>,
}

/// Whether a source has what it is thought to have.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SourceCompareOut {
    /// These are its current secrets: all of them, and no others
    secrets: bool,
    /// This is its verify token, or it has none as was said
    verify_token: bool,
}

/// How a URL is to be replaced.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SourceTokenRotateIn {
    /// How long the present URL still works, at most 604800; a day when left out
    grace_period_seconds: Option<u32>,
}

fn seconds(given: Option<u32>) -> Option<Duration> {
    given.map(|seconds| Duration::from_secs(seconds.into()))
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
) -> Result<Found<ListResponse<SourceOut>>, ApiError> {
    let request = page.request(order.or(Order::Ascending))?;
    let application = path.application()?;
    let found = service
        .sources(access.caller, &application, request.clone())
        .await?;
    let id = |view: &SourceView| view.source.id;
    let list = ListResponse::new(&request, found, id, SourceOut::from);
    Ok(Answer(list))
}

async fn create(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<SourceIn>,
) -> Result<Created<SourceOut>, ApiError> {
    let mut input: SourceInput = body.parse::<SourceIn>()?.into_input();
    input.secrets.get_or_insert_default();
    let idempotency = body.idempotency(&service, access)?;
    let created = service
        .create_source(access.caller, &path.application()?, input, idempotency)
        .await?;
    Ok(Answer(created.into()))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
) -> Result<Found<SourceOut>, ApiError> {
    let (application, source) = path.parse()?;
    let found = service.source(access.caller, &application, &source).await?;
    Ok(Answer(found.into()))
}

async fn put(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
    body: Body<SourceIn>,
) -> Result<Found<SourceOut>, ApiError> {
    let input = body.parse::<SourceIn>()?.into_input();
    let (application, source) = path.parse()?;
    let change = |_: &SourceView| Ok::<_, ApiError>(input.clone());
    let changed = service
        .change_source(access.caller, &application, &source, change)
        .await?;
    Ok(Answer(changed.into()))
}

async fn patch(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
    body: Body<SourceIn>,
) -> Result<Found<SourceOut>, ApiError> {
    let patch = body.parse::<serde_json::Map<String, serde_json::Value>>()?;
    let (application, source) = path.parse()?;
    let change = |view: &SourceView| {
        let merged = SourceIn::from_view(view).merged(&patch)?;
        Ok::<_, ApiError>(parse_json::<SourceIn>(&merged)?.into_input())
    };
    let changed = service
        .change_source(access.caller, &application, &source, change)
        .await?;
    Ok(Answer(changed.into()))
}

async fn delete(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
) -> Result<NoContent, ApiError> {
    let (application, source) = path.parse()?;
    service
        .delete_source(access.caller, &application, &source)
        .await?;
    Ok(NoContent)
}

async fn rotate_secret(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
    body: Body<SourceSecretRotateIn>,
) -> Result<Found<SourceOut>, ApiError> {
    let given: SourceSecretRotateIn = body.parse()?;
    let (application, source) = path.parse()?;
    let rotation = SourceRotation {
        secret: given.secret,
        grace: seconds(given.grace_period_seconds),
    };
    let idempotency = body.idempotency(&service, access)?;
    let rotated = service
        .rotate_source_secret(access.caller, &application, &source, rotation, idempotency)
        .await?;
    Ok(Answer(rotated.into()))
}

/// It only looks, so the idempotency key needs no looking at.
async fn compare(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
    body: Body<SourceCompareIn>,
) -> Result<Found<SourceCompareOut>, ApiError> {
    let given: SourceCompareIn = body.parse()?;
    let (application, source) = path.parse()?;
    let thought = SourceSecrets {
        secrets: given.secrets,
        verify_token: given.verify_token,
    };
    let compared = service
        .compare_source(access.caller, &application, &source, &thought)
        .await?;
    Ok(Answer(SourceCompareOut {
        secrets: compared.secrets,
        verify_token: compared.verify_token,
    }))
}

async fn rotate_token(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
    body: Body<SourceTokenRotateIn>,
) -> Result<Found<SourceOut>, ApiError> {
    let given: SourceTokenRotateIn = body.parse_or_default()?;
    let (application, source) = path.parse()?;
    let grace = seconds(given.grace_period_seconds);
    let idempotency = body.idempotency(&service, access)?;
    let rotated = service
        .rotate_source_token(access.caller, &application, &source, grace, idempotency)
        .await?;
    Ok(Answer(rotated.into()))
}

async fn pause(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
    body: NoBody,
) -> Result<Found<SourceOut>, ApiError> {
    set_paused(&service, access, &path, (body, true)).await
}

async fn resume(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<SourcePath>,
    body: NoBody,
) -> Result<Found<SourceOut>, ApiError> {
    set_paused(&service, access, &path, (body, false)).await
}

async fn set_paused(
    service: &Service,
    access: Access,
    path: &SourcePath,
    (body, paused): (NoBody, bool),
) -> Result<Found<SourceOut>, ApiError> {
    let (application, source) = path.parse()?;
    let idempotency = body.idempotency(service, access)?;
    let changed = service
        .pause_source(access.caller, &application, &source, paused, idempotency)
        .await?;
    Ok(Answer(changed.into()))
}

//! `/api/v1/auth`: tokens for the portal, which a customer's browser uses.

use std::future::ready;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{PortalAccessInput, Service};

use crate::answer::{Answer, Found, NoContent};
use crate::applications::ApplicationIn;
use crate::error::ApiError;
use crate::extract::{Access, AppPath, Body, NoBody, Path};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Authentication");

pub(crate) fn routes() -> ApiRouter<Service> {
    let access_docs = DOCS.post_or_empty(
        "v1.authentication.app-portal-access",
        "Get a link and a token for an application's portal",
    );
    let dashboard_docs = DOCS.post_or_empty(
        "v1.authentication.dashboard-access",
        "Get a link and a token for an application's portal, as older clients ask",
    );
    let expire_docs = DOCS.post_or_empty(
        "v1.authentication.expire-all",
        "Let an application's portal tokens end",
    );
    let logout_docs = DOCS.post("v1.authentication.logout", "End this portal token");
    ApiRouter::new()
        .api_route(
            "/api/v1/auth/app-portal-access/{app_id}",
            post_with(portal_access, access_docs),
        )
        .api_route(
            "/api/v1/auth/dashboard-access/{app_id}",
            post_with(dashboard_access, dashboard_docs),
        )
        .api_route(
            "/api/v1/auth/app/{app_id}/expire-all",
            post_with(expire_all, expire_docs),
        )
        .api_route("/api/v1/auth/logout", post_with(logout, logout_docs))
}

/// What a portal token is to allow.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AppPortalAccessIn {
    /// Creates the application if it does not exist
    application: Option<ApplicationIn>,
    /// Only looking
    read_only: Option<bool>,
    /// `ViewBase`, `ViewEndpointSecret`, `ManageEndpointSecret`, `ManageTransformations`,
    /// `CreateAttempts`, `ManageEndpoint`; all of them when left out
    capabilities: Option<Vec<String>>,
    /// Event types behind these flags are shown
    #[serde(default)]
    feature_flags: Option<Vec<String>>,
    /// How many seconds the token lives, 60 to 604800; an hour when left out
    expiry: Option<u32>,
    /// Names the tokens that are to expire together
    session_id: Option<String>,
}

/// Access to the portal.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct AppPortalAccessOut {
    /// What the browser sends as `Authorization: Bearer …`
    token: String,
    /// The portal's page, with the token in its fragment
    url: String,
}

/// Which portal tokens are to end, and when.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ApplicationTokenExpireIn {
    /// After so many seconds, at most 604800; now when left out
    expiry: Option<u32>,
    /// Only tokens that were made with one of these; all when left out
    session_ids: Option<Vec<String>>,
}

impl From<AppPortalAccessIn> for PortalAccessInput {
    fn from(body: AppPortalAccessIn) -> Self {
        Self {
            application: body.application.map(Into::into),
            read_only: body.read_only.unwrap_or(false),
            capabilities: body.capabilities,
            feature_flags: body.feature_flags.unwrap_or_default(),
            ttl: body.expiry.map(|s| Duration::from_secs(s.into())),
            session: body.session_id,
        }
    }
}

async fn portal_access(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<AppPortalAccessIn>,
) -> Result<Found<AppPortalAccessOut>, ApiError> {
    let input: AppPortalAccessIn = body.parse_or_default()?;
    let idempotency = body.idempotency(&service, access)?;
    let made = service
        .portal_access(
            access.caller,
            &path.application()?,
            input.into(),
            idempotency,
        )
        .await?;
    Ok(Answer(AppPortalAccessOut {
        token: made.token,
        url: made.url,
    }))
}

async fn dashboard_access(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: NoBody,
) -> Result<Found<AppPortalAccessOut>, ApiError> {
    let idempotency = body.idempotency(&service, access)?;
    let input = PortalAccessInput::default();
    let made = service
        .portal_access(access.caller, &path.application()?, input, idempotency)
        .await?;
    Ok(Answer(AppPortalAccessOut {
        token: made.token,
        url: made.url,
    }))
}

async fn expire_all(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<ApplicationTokenExpireIn>,
) -> Result<NoContent, ApiError> {
    let input: ApplicationTokenExpireIn = body.parse_or_default()?;
    let after = Duration::from_secs(input.expiry.unwrap_or(0).into());
    let sessions = input.session_ids.unwrap_or_default();
    let application = path.application()?;
    let key = body.idempotency(&service, access)?;
    let expire = service.expire_portal_tokens(access.caller, &application, sessions, after);
    service.once(key, expire, ready(Ok(()))).await?;
    Ok(NoContent)
}

async fn logout(
    State(service): State<Service>,
    access: Access,
    _body: NoBody,
) -> Result<NoContent, ApiError> {
    service.logout(access.caller).await?;
    Ok(NoContent)
}

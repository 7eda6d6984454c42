//! `/api/v1/key`: API keys.

use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use domain::ApiKeyId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{ApiKeyInput, ApiKeyPatch, ApiKeyRow, KeyQuota, Order, QuotaPatch, Scope, Service};

use crate::answer::{Answer, Created, Found, NoContent};
use crate::error::ApiError;
use crate::extract::{Access, Body, KeyPath, Path, Query, application_ref};
use crate::list::{ListResponse, PageQuery};
use crate::openapi::Docs;
use crate::wire::double_option;

const DOCS: Docs = Docs("Key");

pub(crate) fn routes() -> ApiRouter<Service> {
    let create_docs = DOCS.post(
        "v1.key.create",
        "Create an API key, whose token is shown once",
    );
    let expire_docs = DOCS.post_or_empty("v1.key.expire", "Let an API key end now or in a while");
    ApiRouter::new()
        .api_route(
            "/api/v1/key",
            get_with(list, DOCS.op("v1.key.list", "List API keys")).post_with(create, create_docs),
        )
        .api_route(
            "/api/v1/key/{key_id}",
            get_with(
                get,
                DOCS.op("v1.key.get", "Get an API key, without its token"),
            )
            .patch_with(patch, DOCS.op("v1.key.patch", "Change an API key"))
            .delete_with(delete, DOCS.op("v1.key.delete", "Revoke an API key")),
        )
        .api_route(
            "/api/v1/key/{key_id}/expire",
            post_with(expire, expire_docs),
        )
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum KeyScope {
    /// Everything
    Admin,
    /// Reading whatever is no secret
    Read,
    /// Publishing and nothing else
    Publish,
}

/// An API key to create.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct KeyIn {
    /// A name for people
    name: String,
    /// What the key may do
    scope: KeyScope,
    /// The id or uid of the one application that the key is held to; all of them when left out
    application: Option<String>,
    /// From when on the key is refused; never when left out
    expires_at: Option<String>,
    /// Requests per second, and messages of a batch; 0 is no limit
    requests_per_second: Option<u32>,
    /// So many at once after a pause; as many as per second when left out
    burst: Option<u32>,
    /// Messages per day, UTC; 0 is no limit
    messages_per_day: Option<u32>,
}

/// Fields of an API key to change; those left out stay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "a patch has three cases: leave, clear, set"
)]
struct KeyPatchIn {
    name: Option<String>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<String>")]
    expires_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u32>")]
    requests_per_second: Option<Option<u32>>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u32>")]
    burst: Option<Option<u32>>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u32>")]
    messages_per_day: Option<Option<u32>>,
}

/// When a key is to end.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
struct KeyExpireIn {
    /// After so many seconds, at most 31536000; now when left out
    expiry: Option<u32>,
}

/// An API key.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct KeyOut {
    id: String,
    name: String,
    scope: &'static str,
    /// The id of the one application that the key is held to
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    /// The beginning of the token
    prefix: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Give or take a minute
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_per_day: Option<u32>,
}

/// An API key that was created.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct KeyCreatedOut {
    #[serde(flatten)]
    key: KeyOut,
    /// The key itself. It is shown this once, and left out when the request was a repeated one
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<ApiKeyRow> for KeyOut {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            scope: row.scope.slug(),
            application: row.application_id.map(|id| id.to_string()),
            prefix: row.prefix,
            created_at: row.created.to_string(),
            expires_at: row.expires.map(|at| at.to_string()),
            last_used_at: row.used.map(|at| at.to_string()),
            requests_per_second: row.quota.requests_per_second,
            burst: row.quota.burst,
            messages_per_day: row.quota.messages_per_day,
        }
    }
}

impl KeyIn {
    fn into_input(self) -> Result<ApiKeyInput, ApiError> {
        let application = self.application.as_deref().map(application_ref).transpose();
        let missing = |_| ApiError::field(&["body", "application"], "does not exist");
        Ok(ApiKeyInput {
            name: self.name,
            scope: match self.scope {
                KeyScope::Admin => Scope::Admin,
                KeyScope::Read => Scope::Read,
                KeyScope::Publish => Scope::Publish,
            },
            application: application.map_err(missing)?,
            expires: self.expires_at,
            quota: KeyQuota {
                requests_per_second: self.requests_per_second,
                burst: self.burst,
                messages_per_day: self.messages_per_day,
            },
        })
    }
}

impl From<KeyPatchIn> for ApiKeyPatch {
    fn from(body: KeyPatchIn) -> Self {
        Self {
            name: body.name,
            expires: body.expires_at,
            quota: QuotaPatch {
                requests_per_second: body.requests_per_second,
                burst: body.burst,
                messages_per_day: body.messages_per_day,
            },
        }
    }
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Query(page): Query<PageQuery>,
) -> Result<Found<ListResponse<KeyOut>>, ApiError> {
    let request = page.request::<ApiKeyId>(Order::Ascending)?;
    let found = service.api_keys(access.caller, request.clone()).await?;
    let list = ListResponse::new(&request, found, |row| row.id, KeyOut::from);
    Ok(Answer(list))
}

async fn create(
    State(service): State<Service>,
    access: Access,
    body: Body<KeyIn>,
) -> Result<Created<KeyCreatedOut>, ApiError> {
    let input = body.parse::<KeyIn>()?.into_input()?;
    let idempotency = body.idempotency(&service, access)?;
    let (row, token) = service
        .create_api_key(access.caller, input, idempotency)
        .await?;
    let key = row.into();
    Ok(Answer(KeyCreatedOut { key, token }))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<KeyPath>,
) -> Result<Found<KeyOut>, ApiError> {
    let row = service.api_key(access.caller, path.parse()?).await?;
    Ok(Answer(row.into()))
}

async fn patch(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<KeyPath>,
    body: Body<KeyPatchIn>,
) -> Result<Found<KeyOut>, ApiError> {
    let patch = body.parse::<KeyPatchIn>()?.into();
    let row = service
        .patch_api_key(access.caller, path.parse()?, patch)
        .await?;
    Ok(Answer(row.into()))
}

async fn expire(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<KeyPath>,
    body: Body<KeyExpireIn>,
) -> Result<Found<KeyOut>, ApiError> {
    const SECONDS_MAX: u32 = 365 * 24 * 3_600;
    let input: KeyExpireIn = body.parse_or_default()?;
    let seconds = input.expiry.unwrap_or(0);
    if seconds > SECONDS_MAX {
        let msg = format!("must be at most {SECONDS_MAX}");
        return Err(ApiError::field(&["body", "expiry"], msg));
    }
    let after = Duration::from_secs(seconds.into());
    let id = path.parse()?;
    let key = body.idempotency(&service, access)?;
    let expire = service.expire_api_key(access.caller, id, after);
    let today = service.api_key(access.caller, id);
    Ok(Answer(service.once(key, expire, today).await?.into()))
}

async fn delete(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<KeyPath>,
) -> Result<NoContent, ApiError> {
    service.delete_api_key(access.caller, path.parse()?).await?;
    Ok(NoContent)
}

//! `…/endpoint/{endpoint_id}/secret`: what messages are signed with.

use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{RotationInput, SecretInput, Service};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, Body, EndpointPath, Path};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Endpoint");

pub(crate) fn routes() -> ApiRouter<Service> {
    let rotate_docs =
        DOCS.post_or_empty("v1.endpoint.rotate-secret", "Replace an endpoint's secret");
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret",
            get_with(
                get,
                DOCS.op("v1.endpoint.get-secret", "Get an endpoint's secret"),
            ),
        )
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
            post_with(rotate, rotate_docs),
        )
}

/// How a secret is to be replaced.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointSecretRotateIn {
    /// The new secret, `whsec_` or `whsk_`; made when left out
    key: Option<String>,
    /// What to sign with from now on: `hmac-sha256` or `ed25519`; as before when left out
    signature: Option<String>,
    /// How long the earlier secret goes on signing, at most 604800; a day when left out
    grace_period_seconds: Option<u32>,
}

/// A signing secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct EndpointSecretOut {
    /// What receivers verify with: a shared secret, `whsec_`, or a public key, `whpk_`
    key: String,
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
) -> Result<Found<EndpointSecretOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let key = service
        .endpoint_secret(access.caller, &application, &endpoint)
        .await?;
    Ok(Answer(EndpointSecretOut { key }))
}

async fn rotate(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<EndpointSecretRotateIn>,
) -> Result<Found<EndpointSecretOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let input: EndpointSecretRotateIn = body.parse_or_default()?;
    let input = RotationInput {
        secret: SecretInput {
            key: input.key,
            signature: input.signature,
        },
        grace: input
            .grace_period_seconds
            .map(|seconds| Duration::from_secs(seconds.into())),
    };
    let idempotency = body.idempotency(&service, access)?;
    let key = service
        .rotate_secret(access.caller, &application, &endpoint, input, idempotency)
        .await?;
    Ok(Answer(EndpointSecretOut { key }))
}

//! `…/endpoint/{endpoint_id}/headers`: headers to send with each message.

use std::collections::{BTreeMap, BTreeSet};

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::Service;

use crate::answer::{Answer, Found, NoContent};
use crate::error::ApiError;
use crate::extract::{Access, Body, EndpointPath, Path};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Endpoint");

pub(crate) fn routes() -> ApiRouter<Service> {
    let get_docs = DOCS.op("v1.endpoint.get-headers", "Get an endpoint's headers");
    let put_docs = DOCS.op(
        "v1.endpoint.update-headers",
        "Replace an endpoint's headers",
    );
    let patch_docs = DOCS.op("v1.endpoint.patch-headers", "Change an endpoint's headers");
    ApiRouter::new().api_route(
        "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers",
        get_with(get, get_docs)
            .put_with(put, put_docs)
            .patch_with(patch, patch_docs),
    )
}

/// All the headers of an endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct EndpointHeadersIn {
    headers: BTreeMap<String, String>,
}

/// Headers to set, or to remove where the value is null.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointHeadersPatchIn {
    headers: BTreeMap<String, Option<String>>,
    /// Names of headers to remove, as newer clients give them
    #[serde(default)]
    delete_headers: Vec<String>,
}

impl EndpointHeadersPatchIn {
    fn into_patch(self) -> BTreeMap<String, Option<String>> {
        let mut headers = self.headers;
        for name in self.delete_headers {
            headers.entry(name).or_insert(None);
        }
        headers
    }
}

/// The headers of an endpoint, as far as they are shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct EndpointHeadersOut {
    headers: BTreeMap<String, String>,
    /// Names of headers whose values are not shown
    sensitive: BTreeSet<String>,
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
) -> Result<Found<EndpointHeadersOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let found = service
        .endpoint_headers(access.caller, &application, &endpoint)
        .await?;
    Ok(Answer(EndpointHeadersOut {
        headers: found.headers,
        sensitive: found.sensitive,
    }))
}

async fn put(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<EndpointHeadersIn>,
) -> Result<NoContent, ApiError> {
    let (application, endpoint) = path.parse()?;
    let EndpointHeadersIn { headers } = body.parse()?;
    service
        .put_endpoint_headers(access.caller, &application, &endpoint, headers)
        .await?;
    Ok(NoContent)
}

async fn patch(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<EndpointHeadersPatchIn>,
) -> Result<NoContent, ApiError> {
    let (application, endpoint) = path.parse()?;
    let headers = body.parse::<EndpointHeadersPatchIn>()?.into_patch();
    service
        .patch_endpoint_headers(access.caller, &application, &endpoint, headers)
        .await?;
    Ok(NoContent)
}

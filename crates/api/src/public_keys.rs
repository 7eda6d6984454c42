//! `/webhook-keys/{endpoint_id}`: the public keys of an endpoint, for whoever verifies.
//!
//! It needs no key of the API: receivers fetch it, and what it shows is public. An endpoint's id
//! cannot be guessed, and without a public key there is nothing to see.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::EndpointId;
use http::header;
use serde_json::{Value, json};
use service::{EndpointKey, Service};

use crate::error::ApiError;
use crate::problem::Code;

pub(crate) fn routes() -> Router<Service> {
    Router::new().route("/webhook-keys/{endpoint_id}", get(keys))
}

async fn keys(
    State(service): State<Service>,
    Path(endpoint): Path<String>,
) -> Result<Response, ApiError> {
    let id = endpoint
        .parse::<EndpointId>()
        .map_err(|_| ApiError::of(Code::NotFound))?;
    let keys = service.public_keys(id).await?;
    let keys: Vec<Value> = keys.iter().map(jwk).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        // Shorter than any sensible grace, so that a rotation is seen in time.
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    Ok((headers, json!({ "keys": keys }).to_string()).into_response())
}

/// A key as RFC 8037 writes it, with the text form of Standard Webhooks beside.
fn jwk(key: &EndpointKey) -> Value {
    let text = key.public.to_text();
    let encoded = text.strip_prefix("whpk_").unwrap_or_default();
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let x = URL_SAFE_NO_PAD.encode(bytes);
    let mut jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
        "kid": x.get(..8), "x": x, "whpk": text,
    });
    if let Some(expires) = key.expires {
        jwk["exp"] = json!(expires.as_unix_seconds());
    }
    jwk
}

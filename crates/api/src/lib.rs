//! The HTTP API: routes, extractors, bodies, errors, and the accept loop that serves them.
//!
//! A handler parses, calls the service once, and answers. Everything that goes wrong, wherever it
//! does, leaves as `application/problem+json` in one shape ([`Code`]); each answer carries an
//! `x-request-id`, under which the log has the cause of a 5xx.
//!
//! The sending part is wire-compatible with an API whose client libraries exist in many languages.
//! Their habits, not only that API's description, decide how lists, statuses and errors look.
#![warn(missing_docs)]

mod answer;
mod applications;
mod attempts;
mod audit;
mod background_tasks;
mod content;
mod endpoint_headers;
mod endpoint_messages;
mod endpoint_secret;
mod endpoints;
mod envelope;
mod error;
mod error_docs;
mod event_type_import;
mod event_types;
mod examples;
mod export;
mod extract;
mod health;
mod inbound;
mod keys;
mod list;
mod messages;
mod openapi;
mod permissions;
mod portal_access;
mod problem;
mod providers;
mod public_keys;
mod publish;
mod rate_limit;
mod replay;
mod request_id;
mod requests;
mod serve;
mod source_wire;
mod sources;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
mod wire;

use aide::axum::ApiRouter;
use axum::Router;
use service::Service;

pub use health::Metrics;
pub use openapi::openapi_json;
pub use problem::Code;
pub use serve::{Certificates, Deadlines, HeadLimits, InvalidCertificate, ServeLimits, serve};

/// Makes the router of the API: everything under `/api/v1`, health and metrics, with `pages` beside
/// them.
///
/// `metrics` is called for each `GET /metrics`.
pub fn router(service: Service, metrics: Metrics, pages: impl FnOnce(&str) -> Router) -> Router {
    let (api, description) = openapi::described();
    let description = openapi::text(&description);
    let bodies = extract::BodyMemory::new(service.limits().bodies_bytes);
    let router = api
        .merge(public_keys::routes())
        .merge(inbound::routes())
        .layer(axum::Extension(bodies))
        .with_state(service)
        .merge(health::metrics(metrics))
        .merge(pages(&description))
        .merge(openapi::routes(description));
    enveloped(router)
}

/// Answers that something does not exist, as the API does.
pub fn not_found() -> axum::response::Response {
    axum::response::IntoResponse::into_response(error::ApiError::of(Code::NotFound))
}

/// Adds what every answer has, those to unknown paths and methods included.
pub(crate) fn enveloped(router: Router) -> Router {
    router
        .fallback(|| std::future::ready(error::ApiError::of(Code::UnknownRoute)))
        .method_not_allowed_fallback(|| {
            std::future::ready(error::ApiError::of(Code::MethodNotAllowed))
        })
        .layer(envelope::EnvelopeLayer)
}

/// The described routes, one file per resource.
fn routes() -> ApiRouter<Service> {
    ApiRouter::new()
        .merge(applications::routes())
        .merge(endpoints::routes())
        .merge(endpoint_headers::routes())
        .merge(endpoint_messages::routes())
        .merge(endpoint_secret::routes())
        .merge(event_type_import::routes())
        .merge(event_types::routes())
        .merge(publish::routes())
        .merge(messages::routes())
        .merge(export::routes())
        .merge(trace::routes())
        .merge(stream::routes())
        .merge(attempts::routes())
        .merge(audit::routes())
        .merge(background_tasks::routes())
        .merge(content::routes())
        .merge(examples::routes())
        .merge(replay::routes())
        .merge(keys::routes())
        .merge(portal_access::routes())
        .merge(sources::routes())
        .merge(requests::routes())
        .merge(providers::routes())
        .merge(health::routes())
}

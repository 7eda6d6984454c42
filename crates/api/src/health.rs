//! Whether the server lives, is ready, and what it counts.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use service::{NotReady, Service};

use crate::answer::NoContent;
use crate::error::ApiError;
use crate::openapi::Docs;
use crate::problem::Code;

/// Returns the metrics of the whole program, in Prometheus' text format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

pub(crate) fn routes() -> ApiRouter<Service> {
    const DOCS: Docs = Docs("Health");
    const SUMMARY: &str = "Check that the API answers";
    ApiRouter::new()
        .api_route(
            "/api/v1/health",
            get_with(lives, DOCS.op("v1.health.get", SUMMARY))
                .head_with(lives, DOCS.op("v1.health.head", SUMMARY)),
        )
        .api_route(
            "/api/v1/health/ping",
            get_with(lives, DOCS.op("v1.health.ping", SUMMARY))
                .head_with(lives, DOCS.op("v1.health.ping-head", SUMMARY)),
        )
        .route("/livez", get(lives))
        .route("/readyz", get(ready))
}

/// Serves the metrics.
pub(crate) fn metrics(metrics: Metrics) -> Router {
    let answer = move || {
        let text = [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )];
        let answer = (text, metrics()).into_response();
        std::future::ready(answer)
    };
    Router::new().route("/metrics", get(answer))
}

async fn lives() -> NoContent {
    NoContent
}

async fn ready(State(service): State<Service>) -> Response {
    let code = match service.ready().await {
        Ok(()) => return (StatusCode::OK, "ready\n").into_response(),
        Err(NotReady::ShuttingDown) => Code::ShuttingDown,
        Err(NotReady::DiskFull | NotReady::Store) => Code::NotReady,
    };
    ApiError::of(code).into_response()
}

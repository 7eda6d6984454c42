//! `/docs/errors/{slug}`: a page about each error, which every error points at.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;

use crate::error::ApiError;
use crate::problem::Code;

pub(crate) fn routes() -> Router {
    Router::new().route("/docs/errors/{slug}", get(page))
}

async fn page(Path(slug): Path<String>) -> Response {
    match text_of(&slug) {
        Some(text) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, text).into_response()
        }
        None => ApiError::of(Code::NotFound).into_response(),
    }
}

macro_rules! pages {
    ($($slug:literal),+ $(,)?) => {
        /// Returns the page about an error, Markdown.
        fn text_of(slug: &str) -> Option<&'static str> {
            match slug {
                $($slug => Some(include_str!(concat!("../../../docs/errors/", $slug, ".md"))),)+
                _ => None,
            }
        }
    };
}

pages!(
    "authentication_failed",
    "busy",
    "conflict",
    "disk_full",
    "endpoint_disabled",
    "headers_too_large",
    "idempotency_key_reused",
    "insufficient_permissions",
    "limit_reached",
    "loop_detected",
    "malformed_json",
    "malformed_request",
    "method_not_allowed",
    "not_found",
    "not_ready",
    "no_example",
    "payload_gone",
    "payload_too_large",
    "rate_limited",
    "request_timeout",
    "server_error",
    "shutting_down",
    "timed_out",
    "too_many_connections",
    "unknown_route",
    "unsupported_media_type",
    "url_too_long",
    "validation",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_error_has_a_page_and_every_page_an_error() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        let files: BTreeSet<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let slugs: BTreeSet<_> = Code::ALL.map(|code| format!("{}.md", code.slug())).into();

        assert_eq!(files, slugs);
        for code in Code::ALL {
            let text = text_of(code.slug()).unwrap();
            let heading = format!("# {} ({})", code.slug(), code.status().as_u16());
            assert_eq!(text.lines().next(), Some(heading.as_str()));
            assert!(text.contains("## What to do"), "{}", code.slug());
        }
    }
}

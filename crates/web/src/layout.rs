//! What every page has around its content.

use axum::response::{IntoResponse, Response};
use http::header;
use maud::{DOCTYPE, Markup, html};

/// Nothing but our own style, script and pictures; no frames, no forms, no other origin.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page for people.
pub(crate) struct Page {
    pub(crate) title: String,
    /// Links beside the content.
    pub(crate) navigation: Markup,
    pub(crate) content: Markup,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let Self {
            title,
            navigation,
            content,
        } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · posthaste" }
                    link rel="stylesheet" href="/docs/assets/style.css";
                    script src="/docs/assets/docs.js" defer {}
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header {
                        a.brand href="/docs" { "posthaste" }
                        nav aria-label="Main" {
                            a href="/docs/quick-start" { "Quick start" }
                            a href="/docs/api" { "API" }
                            a href="/docs/reference/errors" { "Errors" }
                        }
                    }
                    div.columns {
                        nav.side aria-label="Pages" { (navigation) }
                        main id="content" { (content) }
                    }
                }
            }
        };
        (headers("text/html; charset=utf-8"), page.into_string()).into_response()
    }
}

/// The headers of everything that a browser gets from here.
pub(crate) fn headers(content_type: &'static str) -> [(header::HeaderName, &'static str); 4] {
    [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ]
}

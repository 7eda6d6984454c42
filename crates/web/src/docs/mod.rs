//! `/docs`: the pages of `docs/` and a reference of the API made from its description.
//!
//! A browser gets HTML. Whoever does not ask for it, `curl` for example, gets the Markdown that
//! the page is made of, so that the page an error points at can be read in a terminal.

mod api;
mod markdown;
mod pages;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use maud::{Markup, html};

use crate::layout::{Page, headers};
use pages::{Document, Section};

const STYLE: &str = include_str!("../../assets/style.css");
const SCRIPT: &str = include_str!("../../assets/docs.js");

/// Makes the routes of the documentation; `description` is the API's, OpenAPI 3.1.
///
/// `missing` answers for a page that does not exist to whoever is no browser.
pub fn routes(description: &str, missing: fn() -> Response) -> Router {
    let description = description.to_owned();
    // Made when somebody first looks at it: a start has better things to do.
    let reference = Arc::new(LazyLock::new(move || api::reference(&description)));
    let api = move || {
        let content = Markup::clone(&reference);
        std::future::ready(page("API reference", "api", content))
    };
    Router::new()
        .route("/docs", get(index))
        .route("/docs/", get(index))
        .route("/docs/api", get(api))
        .route(
            "/docs/assets/style.css",
            get(asset("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/docs/assets/docs.js",
            get(asset("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route(
            "/docs/{*name}",
            get(move |Path(name): Path<String>, request: HeaderMap| {
                std::future::ready(document(&name, &request, missing))
            }),
        )
}

fn asset(
    content_type: &'static str,
    text: &'static str,
) -> impl Fn() -> std::future::Ready<Response> + Clone {
    move || std::future::ready((headers(content_type), text).into_response())
}

fn page(title: &str, name: &str, content: Markup) -> Page {
    Page {
        title: title.to_owned(),
        navigation: navigation(name),
        content,
    }
}

/// The pages by section, with the one that is shown marked.
fn navigation(current: &str) -> Markup {
    html! {
        @for section in Section::ALL {
            h2 { (section.title()) }
            ul {
                @for document in pages::of(section) {
                    li { (link(document.name, &document.title(), current)) }
                }
                @if section == Section::Reference {
                    li { (link("api", "API", current)) }
                }
            }
        }
    }
}

fn link(name: &str, title: &str, current: &str) -> Markup {
    let is_current = (name == current).then_some("page");
    html! { a href={"/docs/" (name)} aria-current=[is_current] { (title) } }
}

async fn index() -> Page {
    let content = html! {
        h1 { "posthaste" }
        p.lead {
            "Webhooks, done once: publish a message, and every endpoint that subscribed gets it, \
             signed, retried and logged."
        }
        @for section in Section::ALL {
            h2 { (section.title()) }
            div.cards {
                @for document in pages::of(section) {
                    a.card href={"/docs/" (document.name)} {
                        strong { (document.title()) }
                        span { (document.summary()) }
                    }
                }
                @if section == Section::Reference {
                    a.card href="/docs/api" {
                        strong { "API" }
                        span { "Every call, with its parameters, bodies and answers" }
                    }
                }
            }
        }
    };
    page("Documentation", "", content)
}

fn document(name: &str, request: &HeaderMap, missing: fn() -> Response) -> Response {
    let wanted = name.trim_end_matches('/');
    let is_browser = wants_html(request);
    let without_ending = wanted.strip_suffix(".md");
    let Some(document) = pages::find(without_ending.unwrap_or(wanted)) else {
        return if is_browser { no_page() } else { missing() };
    };
    if !is_browser || without_ending.is_some() {
        return (headers("text/plain; charset=utf-8"), document.text).into_response();
    }
    rendered(document).into_response()
}

fn rendered(document: &Document) -> Page {
    let content = html! { article { (markdown::render(document)) } };
    page(&document.title(), document.name, content)
}

fn wants_html(request: &HeaderMap) -> bool {
    request.get_all(header::ACCEPT).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.contains("text/html"))
    })
}

fn no_page() -> Response {
    let content = html! {
        h1 { "There is no such page" }
        p { "The list beside has all of them." }
    };
    (StatusCode::NOT_FOUND, page("Not found", "", content)).into_response()
}

#[cfg(test)]
mod tests;

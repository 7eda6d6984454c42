//! The documentation as a browser and as `curl` get it.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn fetch(path: &str, accept: &str) -> Got {
    // Made once: rendering the reference takes a moment.
    static ROUTES: LazyLock<Router> =
        LazyLock::new(|| routes(include_str!("../../../../docs/openapi.json"), missing));
    let request = Request::get(path)
        .header(header::ACCEPT, accept)
        .body(Body::empty())
        .unwrap();
    let response = ROUTES.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Got {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "the API's own").into_response()
}

/// Every link of a page, and every style and script.
fn links(page: &str) -> Vec<&str> {
    let values = |name| {
        page.split(name)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
    };
    values("href=\"").chain(values("src=\"")).collect()
}

#[tokio::test]
async fn every_page_is_served_and_every_link_leads_somewhere() {
    let mut texts = HashMap::new();
    let names = pages::all().map(|document| format!("/docs/{}", document.name));
    let assets = ["", "/api", "/assets/style.css", "/assets/docs.js"];
    for path in names.chain(assets.map(|name| format!("/docs{name}"))) {
        let got = fetch(&path, BROWSER).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        texts.insert(path, got.text);
    }

    let mut broken = Vec::new();
    for (path, text) in &texts {
        for link in links(text) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") || target.starts_with("/api/") {
                continue;
            }
            let target = if target.is_empty() { path } else { target };
            let id = format!("id=\"{anchor}\"");
            let leads = |page: &String| anchor.is_empty() || page.contains(&id);
            if !texts.get(target).is_some_and(leads) {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[tokio::test]
async fn a_page_loads_nothing_from_elsewhere() {
    for path in ["/docs", "/docs/api", "/docs/guides/send"] {
        let got = fetch(path, BROWSER).await;
        let policy = got.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        let foreign = [
            "<script>",
            "style=\"",
            "src=\"http",
            "stylesheet\" href=\"http",
        ];
        for part in foreign {
            assert!(!got.text.contains(part), "{path} has {part}");
        }
    }
}

#[tokio::test]
async fn whoever_does_not_ask_for_html_gets_the_markdown() {
    for (path, accept) in [
        ("/docs/errors/not_found", "*/*"),
        ("/docs/errors/not_found.md", BROWSER),
    ] {
        let got = fetch(path, accept).await;
        assert_eq!(
            got.headers[header::CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        assert!(got.text.starts_with("# not_found (404)\n"), "{}", got.text);
    }
    let page = fetch("/docs/errors/not_found", BROWSER).await;
    assert!(
        page.text
            .contains("<h1 id=\"not_found-404\">not_found (404)</h1>")
    );
}

#[tokio::test]
async fn the_reference_shows_every_call_with_an_example() {
    let got = fetch("/docs/api", BROWSER).await;
    let description: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let mut calls = 0;
    for methods in description["paths"].as_object().unwrap().values() {
        for about in methods.as_object().unwrap().values() {
            let id = about["operationId"].as_str().unwrap();
            assert!(
                got.text.contains(&format!("id=\"{id}\"")),
                "{id} is left out"
            );
            calls += 1;
        }
    }
    assert_eq!(got.text.matches("<h4>Example</h4>").count(), calls);
    assert!(got.text.contains("$POSTHASTE_URL/api/v1/app/$APP/msg"));
}

#[tokio::test]
async fn an_unknown_page_is_404_and_nothing_outside_is_reachable() {
    for path in [
        "/docs/nothing",
        "/docs/../Cargo.toml",
        "/docs/errors/..%2F..%2FCargo",
    ] {
        let got = fetch(path, BROWSER).await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}");
        assert!(got.text.starts_with("<!DOCTYPE html>"), "{path}");
    }
    let terminal = fetch("/docs/errors/nothing", "*/*").await;
    assert_eq!(terminal.text, "the API's own");
}

#[test]
fn html_in_a_page_is_shown_as_text() {
    let document = Document {
        name: "x",
        text: "# T\n\n<script>alert(1)</script> and <b>bold</b>\n",
    };
    let page = markdown::render(&document).into_string();
    assert!(
        !page.contains("<script>") && !page.contains("<b>"),
        "{page}"
    );
}

//! The shape of errors, wherever they come from.

use axum::Router;
use axum::routing::get;
use http::{Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::harness::TestApi;
use crate::error::ApiError;

#[tokio::test(start_paused = true)]
async fn unknown_paths_and_methods_have_the_shape_too() {
    let api = TestApi::new().await;

    api.get("/").await.expect_problem(404, "unknown_route");
    api.get("/api/v1/nothing")
        .await
        .expect_problem(404, "unknown_route");
    api.get("/api/v1/app/")
        .await
        .expect_problem(404, "unknown_route");
    let reply = api.delete("/api/v1/app").await;
    let allowed = reply.headers["allow"].to_str().unwrap().to_owned();
    reply.expect_problem(405, "method_not_allowed");
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
    let options = api.call(Method::OPTIONS, "/api/v1/app", &[], "").await;
    assert!(!options.headers.contains_key("access-control-allow-origin"));
    options.expect_problem(405, "method_not_allowed");
}

/// What stands in the wrong place may be a secret.
#[tokio::test(start_paused = true)]
async fn a_text_of_the_wrong_type_is_not_repeated() {
    let api = TestApi::new().await;
    api.acme().await;
    let secret = r#"a secret\", expected at line 1"#;

    for body in [
        format!(r#"{{"url": "https://example.com/", "headers": "{secret}"}}"#),
        format!(r#"{{"url": "https://example.com/", "disabled": "{secret}"}}"#),
        format!("\"{secret}\""),
    ] {
        let answer = api.post("/api/v1/app/acme/endpoint", &body).await;
        let answer = answer.expect(422).to_string();

        assert!(answer.contains(" string, expected "), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
    }
}

/// A list of the values of an object's fields, in their order, is no object.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_a_list_is_not_taken_for_an_object() {
    let api = TestApi::new().await;
    api.acme().await;

    for path in ["/api/v1/app", "/api/v1/app/acme/endpoint"] {
        let answer = api.post(path, " [\"https://example.com/\", null]").await;
        let answer = answer.expect(422);

        assert_eq!(answer["detail"][0]["loc"], serde_json::json!(["body"]));
    }
}

#[tokio::test]
async fn the_cause_of_a_fault_of_ours_never_leaves() {
    let cause = || std::future::ready(ApiError::Internal("disk sda1 is on fire".into()));
    let panic = || async {
        let nothing: Option<&str> = std::hint::black_box(None);
        nothing.expect("disk sda1 is on fire")
    };
    let router = Router::new()
        .route("/cause", get(cause))
        .route("/panic", get(panic));
    let router = crate::enveloped(router);

    for path in ["/cause", "/panic"] {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();

        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key("x-request-id"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text.contains("\"code\":\"server_error\"") && !text.contains("sda1"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_a_request_id_of_its_own() {
    let api = TestApi::new().await;

    let mut ids = std::collections::BTreeSet::new();
    for path in ["/api/v1/app", "/api/v1/app", "/livez", "/nowhere"] {
        let reply = api.get(path).await;
        ids.insert(reply.headers["x-request-id"].to_str().unwrap().to_owned());
    }

    assert_eq!(ids.len(), 4);
}

/// No page of another origin reads an answer of ours, whatever it calls itself.
#[tokio::test(start_paused = true)]
async fn no_origin_is_allowed_to_read_an_answer() {
    const ORIGINS: [&str; 4] = [
        "null",
        "https://evil.example",
        "https://127.0.0.1.evil.example",
        "http://127.0.0.1:8411",
    ];
    let api = TestApi::new().await;
    for origin in ORIGINS {
        let asks = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        for (method, path) in [
            (Method::GET, "/api/v1/app"),
            (Method::GET, "/api/v1/app/nobody"),
            (Method::GET, "/api/v1/health"),
            (Method::GET, "/nowhere"),
            (Method::GET, "/metrics"),
            (Method::GET, "/openapi.json"),
            (Method::OPTIONS, "/api/v1/app"),
            (Method::OPTIONS, "/api/v1/app/acme/msg"),
        ] {
            let reply = api.call(method, path, &asks, "").await;
            let mut names = reply.headers.keys().map(http::HeaderName::as_str);
            let allows = names.find(|name| name.starts_with("access-control-"));
            assert_eq!(allows, None, "{path} for {origin}");
        }
    }
}

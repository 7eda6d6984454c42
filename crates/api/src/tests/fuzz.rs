//! Bodies, queries and headers that nobody would think of: an answer of the API's each time, and
//! never a fault of ours.

use axum::body::Body;
use http::{HeaderValue, Method, Request};
use posthaste_fuzz::run;

use super::harness::{Reply, TestApi};

/// Runs a target whose inputs become requests, on a runtime of its own.
fn requests(target: &str, request: &impl AsyncFn(&TestApi, &[u8])) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let api = runtime.block_on(async {
        let api = TestApi::new().await;
        api.acme_with_hook().await;
        // Nothing is sent anywhere, which is another test's business.
        api.network.set_down(true);
        api
    });
    run(target, |input| runtime.block_on(request(&api, input)));
}

/// An answer that a client can read: no fault of ours, and every refusal in the one shape.
fn check(reply: &Reply) {
    let status = reply.status.as_u16();
    assert!(status < 500, "{status}: {}", reply.json());
    if status < 400 {
        return;
    }
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    let problem = reply.json();
    assert!(problem["code"].is_string(), "{problem}");
    assert_eq!(problem["detail"].is_array(), status == 422, "{problem}");
}

#[test]
fn envelopes() {
    const PATHS: [&str; 5] = [
        "/api/v1/app",
        "/api/v1/app/acme/endpoint",
        "/api/v1/app/acme/msg",
        "/api/v1/app/acme/msg/batch",
        "/api/v1/event-type",
    ];
    requests("envelope", &async |api, input| {
        for path in PATHS {
            check(&api.call(Method::POST, path, &[], input.to_vec()).await);
        }
    });
}

#[test]
fn queries_and_iterators() {
    const PATHS: [&str; 5] = [
        "/api/v1/app",
        "/api/v1/app/acme/endpoint",
        "/api/v1/app/acme/msg",
        "/api/v1/app/acme/attempt/endpoint/hook",
        "/api/v1/event-type",
    ];
    requests("query", &async |api, input| {
        // What is no part of a URL never comes as far as this.
        let allowed = |byte: &u8| byte.is_ascii_graphic() && !b"#<>\"`{}\\^|".contains(byte);
        let query: Vec<u8> = input.iter().copied().filter(allowed).take(4096).collect();
        let query = String::from_utf8(query).unwrap();
        for path in PATHS {
            check(&api.get(&format!("{path}?{query}")).await);
        }
    });
}

#[test]
fn headers() {
    const NAMES: [&str; 4] = [
        "authorization",
        "content-type",
        "content-encoding",
        "idempotency-key",
    ];
    requests("header", &async |api, input| {
        // What is no header never comes as far as this.
        let Ok(value) = HeaderValue::from_bytes(input) else {
            return;
        };
        for name in NAMES {
            let request = Request::post("/api/v1/app/acme/msg").header(name, &value);
            let body = Body::from(r#"{"eventType": "a", "payload": {}}"#);
            check(&api.send(request.body(body).unwrap()).await);
        }
    });
}

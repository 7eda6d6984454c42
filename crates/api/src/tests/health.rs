//! Health, metrics, error pages.

use axum::body::Body;
use http::{Method, Request};

use super::harness::{Reply, TestApi};

async fn ask(api: &TestApi, method: Method, path: &str) -> Reply {
    let request = Request::builder().method(method).uri(path);
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn health_needs_no_key() {
    let api = TestApi::new().await;

    for path in ["/api/v1/health", "/api/v1/health/ping", "/livez"] {
        for method in [Method::GET, Method::HEAD] {
            ask(&api, method, path).await.expect(204);
        }
    }
    assert_eq!(ask(&api, Method::GET, "/readyz").await.status, 200);
    let metrics = ask(&api, Method::GET, "/metrics").await;
    assert_eq!(metrics.bytes, "posthaste_up 1\n");
    assert_eq!(
        metrics.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_is_alive_and_not_ready() {
    let api = TestApi::new().await;

    api.service.begin_shutdown();

    ask(&api, Method::GET, "/readyz")
        .await
        .expect_problem(503, "shutting_down");
    ask(&api, Method::GET, "/livez").await.expect(204);
}

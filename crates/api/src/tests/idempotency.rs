//! Idempotency keys.

use http::Method;
use serde_json::json;

use super::harness::TestApi;
use super::tenancy::World;
use crate::permissions::ROUTES;

const MSG: &str = "/api/v1/app/acme/msg";

#[tokio::test(start_paused = true)]
async fn a_repeated_publish_is_one_message() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let body = r#"{"eventType": "a", "payload": {"n": 1}}"#;

    for key in ["order-1", "auto_5f1c"] {
        let first = api.post_keyed(MSG, key, body).await.expect(202);
        let again = api.post_keyed(MSG, key, body).await.expect(202);
        assert_eq!(first, again);
    }

    api.settle().await;
    assert_eq!(api.network.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_stands_for_one_request() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let body = r#"{"eventType": "a", "payload": {"n": 1}}"#;
    api.post_keyed(MSG, "k", body).await.expect(202);

    let other_body = r#"{"eventType": "a", "payload": {"n": 2}}"#;
    let reply = api.post_keyed(MSG, "k", other_body).await;
    reply.expect_problem(409, "idempotency_key_reused");
    let reply = api.post_keyed("/api/v1/app", "k", r#"{"name": "x"}"#).await;
    reply.expect_problem(409, "idempotency_key_reused");
}

#[tokio::test(start_paused = true)]
async fn repeated_creations_make_one_thing() {
    let api = TestApi::new().await;
    api.acme().await;

    for (path, body) in [
        ("/api/v1/app", r#"{"name": "x"}"#),
        (
            "/api/v1/app/acme/endpoint",
            r#"{"url": "https://example.com/"}"#,
        ),
        (
            "/api/v1/event-type",
            r#"{"name": "a.b", "description": ""}"#,
        ),
        (
            "/api/v1/app/acme/msg/batch",
            r#"{"messages": [{"eventType": "a", "payload": 1}]}"#,
        ),
    ] {
        let first = api.post_keyed(path, path, body).await;
        let status = first.status.as_u16();
        assert!(matches!(status, 201 | 202), "{path}: {status}");
        let again = api.post_keyed(path, path, body).await;
        assert_eq!(first.json(), again.expect(status), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_leaves_its_key_free() {
    let api = TestApi::new().await;
    api.acme().await;

    let bad = r#"{"eventType": "a b", "payload": {}}"#;
    api.post_keyed(MSG, "k", bad)
        .await
        .expect_faults(&["body.eventType"]);

    let good = r#"{"eventType": "a", "payload": {}}"#;
    api.post_keyed(MSG, "k", good).await.expect(202);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_resend_is_one_attempt() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let id = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    let path = format!("{MSG}/{id}/endpoint/hook/resend");

    for _ in 0..2 {
        assert_eq!(api.post_keyed(&path, "k", "").await.expect(202), json!({}));
        api.settle().await;
    }

    assert_eq!(api.network.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_have_a_length() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"eventType": "a", "payload": {}}"#;

    for key in ["", &"k".repeat(257)] {
        let reply = api.post_keyed(MSG, key, body).await;
        reply.expect_faults(&["header.idempotency-key"]);
    }
    api.post_keyed(MSG, &"k".repeat(256), body)
        .await
        .expect(202);
}

/// Also where it decides nothing.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_none_is_refused_by_every_post() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let long = "k".repeat(257);

    for path in ["/api/v1/app", MSG, "/api/v1/auth/app/acme/expire-all"] {
        for key in ["", &long] {
            let reply = api.post_keyed(path, key, r#"{"name": "x"}"#).await;
            reply.expect_faults(&["header.idempotency-key"]);
        }
    }
}

/// Posts that have nothing to remember: looks that change nothing; and the end of a portal's
/// session, after which the token that repeats it is known to nobody.
const NOTHING_TO_REMEMBER: [&str; 3] = [
    "/api/v1/app/{app_id}/msg/precheck/active",
    "/api/v1/app/{app_id}/source/{source_id}/secret/compare",
    "/api/v1/auth/logout",
];

/// From the table of routes: a new one honours the key, or is thought about here.
#[tokio::test(start_paused = true)]
async fn every_post_is_one_however_often_it_comes() {
    let posts = ROUTES.iter().filter(|(method, ..)| *method == Method::POST);
    for (_, path, _) in posts.filter(|(_, path, _)| !NOTHING_TO_REMEMBER.contains(path)) {
        let world = World::new().await;
        let example = r#"{"name": "a", "description": "", "schemas": {"1": {"examples": [{}]}}}"#;
        world
            .api
            .post("/api/v1/event-type", example)
            .await
            .expect(201);
        let trail = async || {
            let newest = world.api.get("/api/v1/audit?limit=1").await.expect(200);
            newest["data"][0]["number"].clone()
        };
        let (place, body) = world.post_of(path);

        let first = world.api.post_keyed(&place, "k", &body).await;
        assert!(first.status.is_success(), "{path}: {:?}", first.bytes);
        world.api.settle().await;
        let (noted, sent) = (trail().await, world.api.network.seen().len());
        let again = world.api.post_keyed(&place, "k", &body).await;

        assert_eq!(again.status, first.status, "{path}: {:?}", again.bytes);
        world.api.settle().await;
        assert_eq!(trail().await, noted, "{path} was done twice");
        assert_eq!(world.api.network.seen().len(), sent, "{path} sent twice");
        let other = world.api.post_keyed(&place, "k", &format!("{body} ")).await;
        assert_eq!(other.status, 409, "{path}: {:?}", other.bytes);
        assert_eq!(other.json()["code"], "idempotency_key_reused", "{path}");
    }
}

/// A retry that arrives late must not undo what was asked for meanwhile.
#[tokio::test(start_paused = true)]
async fn a_repeated_pause_leaves_an_endpoint_that_was_unpaused_alone() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let hook = "/api/v1/app/acme/endpoint/hook";
    let paused = api.post_keyed(&format!("{hook}/pause"), "k", "").await;
    assert_eq!(paused.expect(200)["paused"], true);
    api.post(&format!("{hook}/unpause"), "").await.expect(200);

    let again = api.post_keyed(&format!("{hook}/pause"), "k", "").await;

    assert_eq!(again.expect(200)["paused"], false);
    assert_eq!(api.get(hook).await.expect(200)["paused"], false);
}

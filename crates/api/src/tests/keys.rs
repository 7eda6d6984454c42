//! API keys: making, showing, changing and revoking them.

use std::time::Duration;

use http::{Method, Request};
use serde_json::Value;

use super::harness::{Reply, TestApi};

/// Makes a key and returns its id and token.
pub(super) async fn make(api: &TestApi, body: &str) -> (String, String) {
    let made = api.post("/api/v1/key", body).await.expect(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

/// Sends a request with a key.
pub(super) async fn call_as(
    api: &TestApi,
    token: &str,
    method: Method,
    path: &str,
    body: &str,
) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body.to_owned().into());
    api.send(request.unwrap()).await
}

pub(super) async fn get_as(api: &TestApi, token: &str, path: &str) -> Reply {
    call_as(api, token, Method::GET, path, "").await
}

#[tokio::test(start_paused = true)]
async fn a_token_is_shown_once_and_a_key_is_listed_without_it() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"name": "shop", "scope": "publish", "application": "acme",
                   "expiresAt": "2099-01-01T00:00:00Z", "requestsPerSecond": 5, "burst": 9,
                   "messagesPerDay": 100}"#;

    let made = api.post("/api/v1/key", body).await.expect(201);

    let token = made["token"].as_str().unwrap();
    assert_eq!(token.len(), 46, "{token}");
    assert_eq!(made["prefix"], token[..8]);
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("token");
    assert_eq!(shown["scope"], "publish");
    assert_eq!(shown["requestsPerSecond"], 5);
    assert_eq!(shown["expiresAt"], "2099-01-01T00:00:00.000000Z");
    assert!(shown["application"].as_str().unwrap().starts_with("app_"));
    let path = format!("/api/v1/key/{}", made["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.expect(200), shown);
    let list = api.get("/api/v1/key").await.expect(200);
    assert_eq!(list["data"][1], shown);
    assert_eq!(list["data"][0]["name"], "admin");
    assert!(!list.to_string().contains(&token[8..]), "{list}");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_creation_returns_the_key_without_its_token() {
    let api = TestApi::new().await;
    let body = r#"{"name": "ci", "scope": "read"}"#;

    let first = api.post_keyed("/api/v1/key", "k", body).await.expect(201);
    let again = api.post_keyed("/api/v1/key", "k", body).await.expect(201);

    assert!(again.get("token").is_none());
    let mut first = first;
    first.as_object_mut().unwrap().remove("token");
    assert_eq!(first, again);
    let list = api.get("/api/v1/key").await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_ends_at_once() {
    let api = TestApi::new().await;
    let (id, token) = make(&api, r#"{"name": "ci", "scope": "admin"}"#).await;
    get_as(&api, &token, "/api/v1/app").await.expect(200);

    api.delete(&format!("/api/v1/key/{id}")).await.expect(204);

    let reply = get_as(&api, &token, "/api/v1/app").await;
    reply.expect_problem(401, "authentication_failed");
    let again = api.delete(&format!("/api/v1/key/{id}")).await;
    again.expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_at_its_time_however_recently_it_was_used() {
    let api = TestApi::new().await;
    let (id, token) = make(&api, r#"{"name": "ci", "scope": "admin"}"#).await;
    let expire = format!("/api/v1/key/{id}/expire");

    let ends = api.post(&expire, r#"{"expiry": 2}"#).await.expect(200);
    assert!(ends["expiresAt"].is_string());
    get_as(&api, &token, "/api/v1/app").await.expect(200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let reply = get_as(&api, &token, "/api/v1/app").await;
    reply.expect_problem(401, "authentication_failed");

    let revived = api
        .patch(&format!("/api/v1/key/{id}"), r#"{"expiresAt": null}"#)
        .await;
    assert!(revived.expect(200).get("expiresAt").is_none());
    get_as(&api, &token, "/api/v1/app").await.expect(200);
    api.post(&expire, "").await.expect(200);
    let reply = get_as(&api, &token, "/api/v1/app").await;
    reply.expect_problem(401, "authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn a_patch_touches_what_it_names() {
    let api = TestApi::new().await;
    let body = r#"{"name": "ci", "scope": "read", "burst": 3}"#;
    let (id, _) = make(&api, body).await;
    let path = format!("/api/v1/key/{id}");
    let before = api.get(&path).await.expect(200);

    let body = r#"{"messagesPerDay": 7, "scope": "admin", "token": "x"}"#;
    let after = api.patch(&path, body).await.expect(200);

    let mut expected = before;
    expected["messagesPerDay"] = Value::from(7);
    assert_eq!(after, expected, "a scope cannot be changed");
}

#[tokio::test(start_paused = true)]
async fn faults_are_named() {
    let api = TestApi::new().await;
    for (body, places) in [
        (r#"{"name": "", "scope": "read"}"#, &["body.name"][..]),
        (r#"{"name": "x", "scope": "portal"}"#, &["body.scope"]),
        (
            r#"{"name": "x", "scope": "read", "application": "nobody"}"#,
            &["body.application"],
        ),
        (
            r#"{"name": "x", "scope": "read", "application": "n o"}"#,
            &["body.application"],
        ),
        (
            r#"{"name": "x", "scope": "read", "expiresAt": "2001-01-01T00:00:00Z"}"#,
            &["body.expiresAt"],
        ),
    ] {
        api.post("/api/v1/key", body).await.expect_faults(places);
    }
    let (id, _) = make(&api, r#"{"name": "x", "scope": "read"}"#).await;
    let late = api
        .post(
            &format!("/api/v1/key/{id}/expire"),
            r#"{"expiry": 31536001}"#,
        )
        .await;
    late.expect_faults(&["body.expiry"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_admin_key_cannot_be_revoked() {
    let api = TestApi::new().await;
    let list = api.get("/api/v1/key").await.expect(200);
    let id = list["data"][0]["id"].as_str().unwrap();

    let refused = api.delete(&format!("/api/v1/key/{id}")).await;

    let detail = refused.expect_problem(409, "conflict");
    assert!(
        detail.as_str().unwrap().contains("last admin key"),
        "{detail}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_use_shows_after_it_was_noted() {
    let api = TestApi::new().await;
    let (id, token) = make(&api, r#"{"name": "x", "scope": "admin"}"#).await;
    let path = format!("/api/v1/key/{id}");
    get_as(&api, &token, "/api/v1/app").await.expect(200);
    assert!(api.get(&path).await.expect(200).get("lastUsedAt").is_none());

    api.service.keep_keys().await.unwrap();

    assert!(api.get(&path).await.expect(200)["lastUsedAt"].is_string());
}

//! Tokens for the portal: what they open, and when they end.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::harness::TestApi;
use super::keys::{call_as, get_as};

const ACCESS: &str = "/api/v1/auth/app-portal-access/acme";

async fn token(api: &TestApi, body: &str) -> String {
    let made = api.post(ACCESS, body).await.expect(200);
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_link_carries_the_token_in_its_fragment_and_opens_one_application() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.post("/api/v1/app", r#"{"name": "Other", "uid": "other"}"#)
        .await
        .expect(201);

    let made = api.post(ACCESS, "").await.expect(200);

    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("appsk_"), "{token}");
    let expected = format!("http://127.0.0.1:8411/portal#key={token}");
    assert_eq!(made["url"], expected);
    get_as(&api, token, "/api/v1/app/acme").await.expect(200);
    let foreign = get_as(&api, token, "/api/v1/app/other").await;
    let unknown = get_as(&api, token, "/api/v1/app/nobody").await;
    assert_eq!(foreign.bytes, unknown.bytes);
    foreign.expect_problem(404, "not_found");
    let list = get_as(&api, token, "/api/v1/app").await;
    list.expect_problem(403, "insufficient_permissions");
    let keys = get_as(&api, token, "/api/v1/key").await;
    keys.expect_problem(403, "insufficient_permissions");
}

#[tokio::test(start_paused = true)]
async fn a_token_lives_an_hour_and_is_in_no_list_of_keys() {
    let api = TestApi::new().await;
    api.acme().await;
    let token = token(&api, "{}").await;

    tokio::time::sleep(Duration::from_secs(3_599)).await;
    get_as(&api, &token, "/api/v1/app/acme").await.expect(200);
    let keys = api.get("/api/v1/key").await.expect(200);
    assert_eq!(keys["data"].as_array().unwrap().len(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reply = get_as(&api, &token, "/api/v1/app/acme").await;
    reply.expect_problem(401, "authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn logging_out_ends_this_token_and_no_key() {
    let api = TestApi::new().await;
    api.acme().await;
    let (first, second) = (token(&api, "{}").await, token(&api, "{}").await);
    let logout = "/api/v1/auth/logout";

    let reply = call_as(&api, &first, Method::POST, logout, "").await;

    reply.expect(204);
    let reply = get_as(&api, &first, "/api/v1/app/acme").await;
    reply.expect_problem(401, "authentication_failed");
    get_as(&api, &second, "/api/v1/app/acme").await.expect(200);
    let refused = api.post(logout, "").await;
    refused.expect_problem(403, "insufficient_permissions");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_session_end_together() {
    let api = TestApi::new().await;
    api.acme().await;
    let a = token(&api, r#"{"sessionId": "a"}"#).await;
    let b = token(&api, r#"{"sessionId": "b"}"#).await;
    let expire = "/api/v1/auth/app/acme/expire-all";
    let is_known = async |token: &str| {
        let reply = get_as(&api, token, "/api/v1/app/acme").await;
        reply.status == 200
    };

    let body = r#"{"sessionIds": ["a"]}"#;
    api.post(expire, body).await.expect(204);
    assert!(!is_known(&a).await);
    assert!(is_known(&b).await);
    api.post(expire, r#"{"expiry": 10}"#).await.expect(204);
    assert!(is_known(&b).await);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!is_known(&b).await);
}

/// An example is the operator's; what a customer made up would be a message of its own.
#[tokio::test(start_paused = true)]
async fn a_token_sends_examples_and_nothing_of_its_own() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let example = r#"{"name": "a", "description": "", "schemas": {"1": {"examples": [{}]}}}"#;
    api.post("/api/v1/event-type", example).await.expect(201);
    let token = token(&api, "{}").await;
    let path = "/api/v1/app/acme/endpoint/hook/send-example";
    let send = async |body: &str| call_as(&api, &token, Method::POST, path, body).await;

    send(r#"{"eventType": "a"}"#).await.expect(200);
    let refused = send(r#"{"eventType": "a", "payload": {}}"#).await;

    refused.expect_problem(403, "insufficient_permissions");
}

/// F9: what is not in its capabilities is refused, whatever else it may do.
#[tokio::test(start_paused = true)]
async fn a_token_does_what_its_capabilities_say() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let hook = "/api/v1/app/acme/endpoint/hook";
    let secret = format!("{hook}/secret");
    let rotate = format!("{hook}/secret/rotate");
    let headers = format!("{hook}/headers");
    for (body, allowed) in [
        (r#"{"readOnly": true}"#, [true, false, false, false, false]),
        (
            r#"{"capabilities": []}"#,
            [true, false, false, false, false],
        ),
        (
            r#"{"capabilities": ["ViewEndpointSecret"]}"#,
            [true, true, false, false, false],
        ),
        (
            r#"{"capabilities": ["ManageEndpointSecret"]}"#,
            [true, true, true, false, false],
        ),
        (
            r#"{"capabilities": ["ManageEndpoint"]}"#,
            [true, true, true, true, true],
        ),
        ("{}", [true, true, true, true, true]),
    ] {
        let token = token(&api, body).await;
        let calls = [
            (Method::GET, hook, ""),
            (Method::GET, &secret, ""),
            (Method::POST, &rotate, r#"{"gracePeriodSeconds": 0}"#),
            (Method::GET, &headers, ""),
            (Method::PATCH, hook, "{}"),
        ];
        for ((method, path, body), allowed) in calls.into_iter().zip(allowed) {
            let reply = call_as(&api, &token, method.clone(), path, body).await;
            let expected = if allowed { 200 } else { 403 };
            assert_eq!(reply.status, expected, "{method} {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn event_types_behind_a_flag_show_to_whoever_has_the_flag() {
    let api = TestApi::new().await;
    api.acme().await;
    for (name, flag) in [("a", "null"), ("b", r#""beta""#), ("c", r#""gamma""#)] {
        let body = format!(r#"{{"name": "{name}", "description": "", "featureFlag": {flag}}}"#);
        api.post("/api/v1/event-type", &body).await.expect(201);
    }
    let names = async |body: &str, limit: u8| {
        let token = token(&api, body).await;
        let path = format!("/api/v1/event-type?limit={limit}");
        let list = get_as(&api, &token, &path).await.expect(200);
        let names = list["data"].as_array().unwrap().iter();
        let names: Vec<_> = names
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect();
        names.join("")
    };

    assert_eq!(names("{}", 50).await, "a");
    assert_eq!(names(r#"{"featureFlags": ["beta"]}"#, 50).await, "ab");
    assert_eq!(names(r#"{"featureFlags": ["gamma"]}"#, 1).await, "a");
    let both = r#"{"name": "d", "description": "", "featureFlags": ["beta", "gamma"]}"#;
    api.post("/api/v1/event-type", both).await.expect(201);
    assert_eq!(names(r#"{"featureFlags": ["gamma"]}"#, 50).await, "acd");
    assert_eq!(names(r#"{"featureFlags": ["delta"]}"#, 50).await, "a");
    let token = token(&api, r#"{"featureFlags": ["gamma"]}"#).await;
    let next = get_as(&api, &token, "/api/v1/event-type?limit=1&iterator=a").await;
    assert_eq!(next.expect(200)["data"][0]["name"], "c");
    let hidden = get_as(&api, &token, "/api/v1/event-type/b").await;
    hidden.expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_customer_subscribes_by_name_to_what_it_is_shown() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let hidden = r#"{"name": "b", "description": "", "featureFlag": "beta"}"#;
    api.post("/api/v1/event-type", hidden).await.expect(201);
    let endpoints = "/api/v1/app/acme/endpoint";
    let hook = &format!("{endpoints}/hook");
    let new = r#"{"url": "https://example.com/", "eventTypes": ["a", "b"]}"#;
    let change = r#"{"eventTypes": ["a", "b"]}"#;
    let without = token(&api, "{}").await;
    let with = token(&api, r#"{"featureFlags": ["beta"]}"#).await;

    for (method, path, body) in [
        (Method::POST, endpoints, new),
        (Method::PATCH, hook, change),
    ] {
        let refused = call_as(&api, &without, method.clone(), path, body).await;
        refused.expect_faults(&["body.eventTypes.1"]);
        let taken = call_as(&api, &with, method, path, body).await;
        assert!(taken.status.is_success(), "{:?}", taken.bytes);
    }
    let again = call_as(&api, &without, Method::PATCH, hook, change).await;
    again.expect(200);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_returns_the_same_token() {
    let api = TestApi::new().await;
    api.acme().await;

    let first = api.post_keyed(ACCESS, "k", "{}").await.expect(200);
    let again = api.post_keyed(ACCESS, "k", "{}").await.expect(200);
    let other = api.post_keyed(ACCESS, "l", "{}").await.expect(200);

    assert_eq!(first, again);
    assert_ne!(first, other);
    let reused = api.post_keyed(ACCESS, "k", r#"{"readOnly": true}"#).await;
    reused.expect_problem(409, "idempotency_key_reused");
}

#[tokio::test(start_paused = true)]
async fn access_may_create_the_application_that_the_path_names() {
    let api = TestApi::new().await;
    let body = r#"{"application": {"name": "Acme"}}"#;
    api.post(ACCESS, "{}")
        .await
        .expect_problem(404, "not_found");

    let token = token(&api, body).await;

    let acme = get_as(&api, &token, "/api/v1/app/acme").await.expect(200);
    assert_eq!(acme["name"], "Acme");
    let dashboard = api.post("/api/v1/auth/dashboard-access/acme", "").await;
    assert!(dashboard.expect(200)["token"].is_string());
}

#[tokio::test(start_paused = true)]
async fn faults_are_named() {
    let api = TestApi::new().await;
    api.acme().await;
    for (body, places) in [
        (
            r#"{"capabilities": ["Everything"]}"#,
            &["body.capabilities.0"][..],
        ),
        (r#"{"featureFlags": ["no good"]}"#, &["body.featureFlags.0"]),
        (r#"{"expiry": 59}"#, &["body.expiry"]),
        (r#"{"expiry": 604801}"#, &["body.expiry"]),
        (r#"{"sessionId": ""}"#, &["body.sessionId"]),
    ] {
        api.post(ACCESS, body).await.expect_faults(places);
    }
}

/// B11: an operator's key sees the exact error, a customer's no more than that it failed.
#[tokio::test(start_paused = true)]
async fn a_customer_sees_no_more_of_the_network_than_that_a_connection_failed() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.network.set_down(true);
    let id = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    let token = token(&api, "{}").await;
    let by_message = format!("/api/v1/app/acme/attempt/msg/{id}");
    let exact = api.get(&by_message).await.expect(200)["data"][0].clone();
    let one = format!(
        "/api/v1/app/acme/msg/{id}/attempt/{}",
        exact["id"].as_str().unwrap()
    );

    assert_eq!(exact["error"]["class"], "connection_refused");
    assert!(exact["error"]["detail"].is_string());
    for path in [&by_message, "/api/v1/app/acme/attempt/endpoint/hook", &one] {
        let seen = get_as(&api, &token, path).await.expect(200);
        let attempt = if seen["data"].is_array() {
            &seen["data"][0]
        } else {
            &seen
        };
        assert_eq!(attempt["error"]["class"], "connect_failed", "{path}");
        assert_eq!(attempt["error"].get("detail"), None::<&Value>, "{path}");
    }
}

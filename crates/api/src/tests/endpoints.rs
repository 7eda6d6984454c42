//! `…/endpoint` and what is below it.

use domain::Limits;
use serde_json::json;

use super::harness::TestApi;

const HOOKS: &str = "/api/v1/app/acme/endpoint";
const HOOK: &str = "/api/v1/app/acme/endpoint/hook";

#[tokio::test(start_paused = true)]
async fn an_endpoint_shows_all_of_itself_but_its_secrets() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"url": "https://Example.com/Hook?a=b", "uid": "hook", "description": "x",
        "eventTypes": ["a.b"], "channels": ["c"], "throttleRate": 3, "metadata": {"k": "v"},
        "headers": {"x-tenant": "7"}, "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}"#;

    let created = api.post(HOOKS, body).await.expect(201);

    assert_eq!(
        created,
        json!({
            "id": created["id"],
            "uid": "hook",
            "url": "https://Example.com/Hook?a=b",
            "description": "x",
            "disabled": false,
            "paused": false,
            "eventTypes": ["a.b"],
            "filterTypes": ["a.b"],
            "channels": ["c"],
            "throttleRate": 3,
            "metadata": {"k": "v"},
            "createdAt": "2026-01-01T00:00:00.000000Z",
            "updatedAt": "2026-01-01T00:00:00.000000Z",
        })
    );
    assert_eq!(api.get(HOOK).await.expect(200), created);
    let secret = api.get(&format!("{HOOK}/secret")).await.expect(200);
    assert_eq!(
        secret,
        json!({"key": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"})
    );
    let headers = api.get(&format!("{HOOK}/headers")).await.expect(200);
    assert_eq!(
        headers,
        json!({"headers": {"x-tenant": "7"}, "sensitive": []})
    );
}

/// Clients of the previous major version know no other name; the newer one wins.
#[tokio::test(start_paused = true)]
async fn a_filter_is_understood_under_its_older_name() {
    let api = TestApi::new().await;
    api.acme().await;
    let older = r#"{"url": "https://example.com/", "uid": "hook", "filterTypes": ["a"]}"#;
    let both = r#"{"url": "https://example.com/", "uid": "hook", "eventTypes": ["b"],
        "filterTypes": ["c"]}"#;

    let created = api.post(HOOKS, older).await.expect(201);
    let replaced = api.put(HOOK, both).await.expect(200);
    let patched = api
        .patch(HOOK, r#"{"filterTypes": null}"#)
        .await
        .expect(200);

    assert_eq!(created["eventTypes"], json!(["a"]));
    assert_eq!(replaced["filterTypes"], json!(["b"]));
    assert!(patched.get("eventTypes").is_none());
}

#[tokio::test(start_paused = true)]
async fn urls_that_must_not_be_called_are_refused() {
    let api = TestApi::new().await;
    api.acme().await;

    for url in [
        "",
        "not a url",
        "ftp://example.com/",
        "http://example.com/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://localhost/",
        "https://169.254.169.254/",
        "https://user:pass@example.com/",
        "https://example.com:0/",
        "https://[::1]/",
        "https://exa\\tmple.com/",
    ] {
        let reply = api.post(HOOKS, &format!(r#"{{"url": "{url}"}}"#)).await;
        reply.expect_faults(&["body.url"]);
    }
    api.post(HOOKS, "{}").await.expect_faults(&["body.url"]);
}

#[tokio::test(start_paused = true)]
async fn secrets_that_are_no_secrets_are_refused() {
    let api = TestApi::new().await;
    api.acme().await;

    for secret in [
        "",
        "whsec_",
        "whsec_AA==",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY=",
        "!",
        &format!("whsec_{}A=", "AAAA".repeat(21) + "AA"),
        // The alphabet of URLs.
        "whsec_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_",
        // Without its padding.
        &format!("whsec_{}AA", "AAAA".repeat(8)),
    ] {
        let body = format!(r#"{{"url": "https://example.com/", "secret": "{secret}"}}"#);
        api.post(HOOKS, &body).await.expect_faults(&["body.secret"]);
    }
    // 24 and 64 bytes.
    for secret in ["AAAA".repeat(8), format!("{}AA==", "AAAA".repeat(21))] {
        let body = format!(r#"{{"url": "https://example.com/", "secret": "whsec_{secret}"}}"#);
        api.post(HOOKS, &body).await.expect(201);
    }
}

#[tokio::test(start_paused = true)]
async fn filters_have_items_or_are_null() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    let empty = r#"{"url": "https://example.com/", "eventTypes": [], "channels": []}"#;
    api.post(HOOKS, empty)
        .await
        .expect_faults(&["body.eventTypes", "body.channels"]);
    let bad = r#"{"url": "https://example.com/", "eventTypes": ["ok", "not ok"]}"#;
    api.post(HOOKS, bad)
        .await
        .expect_faults(&["body.eventTypes.1"]);
    let patched = api
        .patch(HOOK, r#"{"eventTypes": ["a", "b", "a"]}"#)
        .await
        .expect(200);
    assert_eq!(patched["eventTypes"], json!(["a", "b"]));
    let patched = api.patch(HOOK, r#"{"channels": ["c"]}"#).await.expect(200);
    assert_eq!(
        patched["eventTypes"],
        json!(["a", "b"]),
        "what is left out stays"
    );
    let patched = api.patch(HOOK, r#"{"eventTypes": null}"#).await.expect(200);
    assert!(patched.get("eventTypes").is_none());
    assert_eq!(patched["channels"], json!(["c"]));
}

#[tokio::test(start_paused = true)]
async fn patterns_of_event_types_are_kept_as_given_and_route() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"url": "https://example.com/", "uid": "hook",
        "filterTypes": ["order.*", "blog.**", "*.done", "order.*", "a.b"]}"#;

    let created = api.post(HOOKS, body).await.expect(201);

    let kept = json!(["order.*", "blog.**", "*.done", "a.b"]);
    assert_eq!(created["eventTypes"], kept);
    assert_eq!(api.get(HOOK).await.expect(200)["filterTypes"], kept);
    for event_type in ["order.paid", "order.paid.twice", "blog.a.b", "blog", "a.b"] {
        let message = format!(r#"{{"eventType": "{event_type}", "payload": "{event_type}"}}"#);
        api.publish(&message).await;
    }
    api.settle().await;
    let seen = api.network.seen();
    let mut bodies: Vec<&[u8]> = seen.iter().map(|request| &*request.body).collect();
    bodies.sort_unstable();
    let expected: [&[u8]; 3] = [br#""a.b""#, br#""blog.a.b""#, br#""order.paid""#];
    assert_eq!(bodies, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_pattern_is_refused_where_it_was_given() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let long = format!("*.{}", "a".repeat(255));
    let deep = ["*"; 11].join(".");
    let stars = "*.".repeat(10_000) + "a";

    for bad in [
        "a*",
        "a.**.b",
        "***",
        "*,b",
        "",
        r"*.\u0000",
        &long,
        &deep,
        &stars,
    ] {
        for field in ["eventTypes", "filterTypes"] {
            let place = format!("body.{field}.1");
            let body = format!(r#"{{"url": "https://example.com/", "{field}": ["a.*", "{bad}"]}}"#);
            api.post(HOOKS, &body).await.expect_faults(&[&place]);
            api.put(HOOK, &body).await.expect_faults(&[&place]);
            api.patch(HOOK, &body).await.expect_faults(&[&place]);
        }
    }
    let many = format!(r#"{{"filterTypes": {}}}"#, json!(vec!["*"; 10_000]));
    api.patch(HOOK, &many)
        .await
        .expect_faults(&["body.filterTypes"]);
    assert!(api.get(HOOK).await.expect(200).get("filterTypes").is_none());
}

#[tokio::test(start_paused = true)]
async fn put_replaces_an_endpoint_and_keeps_its_secret_and_headers() {
    let api = TestApi::new().await;
    api.acme().await;
    let put = r#"{"url": "https://example.com/a", "throttleRate": 2}"#;
    let created = api.put(HOOK, put).await.expect(201);
    assert_eq!(created["uid"], "hook");
    let headers = r#"{"headers": {"x-a": "1"}}"#;
    api.put(&format!("{HOOK}/headers"), headers)
        .await
        .expect(204);
    let secret = api.get(&format!("{HOOK}/secret")).await.expect(200);

    let put = r#"{"url": "https://example.com/b", "uid": "hook"}"#;
    let replaced = api.put(HOOK, put).await.expect(200);

    assert_eq!(replaced["id"], created["id"]);
    assert_eq!(replaced["url"], "https://example.com/b");
    assert!(replaced.get("throttleRate").is_none());
    assert_eq!(api.get(&format!("{HOOK}/secret")).await.expect(200), secret);
    let kept = api.get(&format!("{HOOK}/headers")).await.expect(200);
    assert_eq!(kept["headers"], json!({"x-a": "1"}));
}

#[tokio::test(start_paused = true)]
async fn headers_are_changed_one_by_one_and_credentials_never_shown() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let path = format!("{HOOK}/headers");
    let put =
        r#"{"headers": {"Authorization": "Bearer x", "X-Api-Key": "y", "x-a": "1", "x-b": "2"}}"#;
    api.put(&path, put).await.expect(204);

    let patch = r#"{"headers": {"X-A": "3", "x-b": null, "x-c": "4"}}"#;
    api.patch(&path, patch).await.expect(204);

    let shown = api.get(&path).await.expect(200);
    assert_eq!(
        shown,
        json!({
            "headers": {"X-A": "3", "x-c": "4"},
            "sensitive": ["Authorization", "X-Api-Key"],
        })
    );
    api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    let sent = &api.network.seen()[0].headers;
    assert_eq!(
        sent["authorization"], "Bearer x",
        "they are sent all the same"
    );
    assert_eq!(sent["x-a"], "3");
}

#[tokio::test(start_paused = true)]
async fn headers_that_would_break_a_request_are_refused() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    for (name, value) in [
        ("x-a", r"x\r\nX-Evil: 1"),
        ("x-a", r"x\n y"),
        ("x-a", r"\u0000"),
        ("Ho st", "x"),
        ("webhook-signature", "x"),
        ("Host", "x"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
        (":authority", "x"),
        ("", "x"),
    ] {
        let body = format!(r#"{{"headers": {{"{name}": "{value}"}}}}"#);
        let place = format!("body.headers.{name}");
        api.put(&format!("{HOOK}/headers"), &body)
            .await
            .expect_faults(&[&place]);
    }
    let long = format!(r#"{{"headers": {{"x-a": "{}"}}}}"#, "a".repeat(64 * 1024));
    api.put(&format!("{HOOK}/headers"), &long)
        .await
        .expect_faults(&["body.headers.x-a"]);
}

#[tokio::test(start_paused = true)]
async fn rotating_answers_the_new_secret_and_both_sign_for_a_while() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let path = format!("{HOOK}/secret/rotate");

    let rotated = api.post(&path, "").await.expect(200);
    assert_eq!(
        api.get(&format!("{HOOK}/secret")).await.expect(200),
        rotated
    );
    api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;

    let signatures = api.network.seen()[0].headers["webhook-signature"].clone();
    assert_eq!(signatures.to_str().unwrap().split(' ').count(), 2);
    let given = r#"{"key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "gracePeriodSeconds": 0}"#;
    let given = api.post(&path, given).await.expect(200);
    assert_eq!(
        given,
        json!({"key": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"})
    );
    let long = r#"{"gracePeriodSeconds": 604801}"#;
    api.post(&path, long)
        .await
        .expect_faults(&["body.gracePeriodSeconds"]);
    api.post(&path, r#"{"key": "x"}"#)
        .await
        .expect_faults(&["body.key"]);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_secrets_live_at_once() {
    let api = TestApi::with_limits(Limits {
        secrets_per_endpoint: 2,
        ..Limits::default()
    })
    .await;
    api.acme_with_hook().await;
    let path = format!("{HOOK}/secret/rotate");

    api.post(&path, "{}").await.expect(200);

    api.post(&path, "{}")
        .await
        .expect_problem(409, "limit_reached");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_paused_disabled_and_deleted() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    let paused = api.post(&format!("{HOOK}/pause"), "").await.expect(200);
    assert_eq!(paused["paused"], true);
    let unpaused = api.post(&format!("{HOOK}/unpause"), "").await.expect(200);
    assert_eq!(unpaused["paused"], false);
    let disabled = api.patch(HOOK, r#"{"disabled": true}"#).await.expect(200);
    assert_eq!(
        (&disabled["disabled"], &disabled["disabledReason"]),
        (&json!(true), &json!("requested"))
    );
    let enabled = api.patch(HOOK, r#"{"disabled": false}"#).await.expect(200);
    assert_eq!(enabled["disabled"], false);
    api.delete(HOOK).await.expect(204);

    api.get(HOOK).await.expect_problem(404, "not_found");
    api.put(HOOK, r#"{"url": "https://example.com/"}"#)
        .await
        .expect(201);
}

#[tokio::test(start_paused = true)]
async fn endpoints_have_a_limit_and_are_listed_newest_first() {
    let api = TestApi::with_limits(Limits {
        endpoints_per_application: 2,
        ..Limits::default()
    })
    .await;
    api.acme().await;
    for uid in ["a", "b"] {
        let body = r#"{"url": "https://example.com/"}"#;
        api.put(&format!("{HOOKS}/{uid}"), body).await.expect(201);
    }

    let third = api.post(HOOKS, r#"{"url": "https://example.com/"}"#).await;
    third.expect_problem(409, "limit_reached");
    let uids = |list: serde_json::Value| {
        let data = list["data"].as_array().unwrap().clone();
        data.iter()
            .map(|item| item["uid"].as_str().unwrap().to_owned())
            .collect::<String>()
    };
    assert_eq!(uids(api.get(HOOKS).await.expect(200)), "ba");
    assert_eq!(
        uids(
            api.get(&format!("{HOOKS}?order=ascending"))
                .await
                .expect(200)
        ),
        "ab"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_belongs_to_its_application_only() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.put("/api/v1/app/other", r#"{"name": "Other"}"#)
        .await
        .expect(201);
    let hook = api.get(HOOK).await.expect(200);
    let id = hook["id"].as_str().unwrap();

    for path in [id, "hook"].map(|name| format!("/api/v1/app/other/endpoint/{name}")) {
        api.get(&path).await.expect_problem(404, "not_found");
        api.delete(&path).await.expect_problem(404, "not_found");
        api.get(&format!("{path}/secret"))
            .await
            .expect_problem(404, "not_found");
        api.get(&format!("{path}/headers"))
            .await
            .expect_problem(404, "not_found");
    }
}

// ---- What an endpoint sets for itself -----------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_endpoints_own_settings_are_kept_until_they_are_named_again() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"url": "https://example.com/", "uid": "hook", "retrySchedule": [0, 60, 3600],
        "timeoutSeconds": 7, "maxConcurrency": 3}"#;

    let created = api.post(HOOKS, body).await.expect(201);

    assert_eq!(created["retrySchedule"], json!([0, 60, 3600]));
    assert_eq!(created["timeoutSeconds"], 7);
    assert_eq!(created["maxConcurrency"], 3);
    // A client that has never heard of them must not take them away.
    let put = r#"{"url": "https://example.com/", "uid": "hook", "description": "x"}"#;
    let put = api.put(HOOK, put).await.expect(200);
    assert_eq!(put["retrySchedule"], json!([0, 60, 3600]));
    let patched = api
        .patch(HOOK, r#"{"retrySchedule": null}"#)
        .await
        .expect(200);
    assert_eq!(patched.get("retrySchedule"), None);
    assert_eq!(patched["timeoutSeconds"], 7, "what is not named stays");
    let patched = api
        .patch(HOOK, r#"{"retrySchedule": [0]}"#)
        .await
        .expect(200);
    assert_eq!(patched["retrySchedule"], json!([0]));
}

#[tokio::test(start_paused = true)]
async fn own_settings_beyond_the_limits_are_refused_by_name() {
    let limits = Limits {
        retry_attempts: 3,
        retry_total: std::time::Duration::from_hours(1),
        endpoint_timeout: std::time::Duration::from_secs(30),
        endpoint_concurrency: 10,
        ..Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    for (given, loc) in [
        (r#""retrySchedule": []"#, json!(["body", "retrySchedule"])),
        (
            r#""retrySchedule": [0, 1, 1, 1]"#,
            json!(["body", "retrySchedule"]),
        ),
        (
            r#""retrySchedule": [5, 1]"#,
            json!(["body", "retrySchedule", "0"]),
        ),
        (
            r#""retrySchedule": [0, 3601]"#,
            json!(["body", "retrySchedule"]),
        ),
        (
            r#""retrySchedule": [0, 4294967295]"#,
            json!(["body", "retrySchedule"]),
        ),
        (r#""timeoutSeconds": 0"#, json!(["body", "timeoutSeconds"])),
        (r#""timeoutSeconds": 31"#, json!(["body", "timeoutSeconds"])),
        (r#""maxConcurrency": 0"#, json!(["body", "maxConcurrency"])),
        (r#""maxConcurrency": 11"#, json!(["body", "maxConcurrency"])),
    ] {
        let body = format!(r#"{{"url": "https://example.com/", {given}}}"#);

        let refused = api.post(HOOKS, &body).await.expect(422);

        assert_eq!(refused["detail"][0]["loc"], loc, "{given}");
    }
}

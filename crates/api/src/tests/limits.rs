//! Limits of keys: requests per second, and messages per day (F16).

use std::time::Duration;

use http::Method;

use super::harness::TestApi;
use super::keys::{call_as, get_as, make};

const MSG: &str = "/api/v1/app/acme/msg";
const BODY: &str = r#"{"eventType": "a", "payload": {}}"#;

#[tokio::test(start_paused = true)]
async fn a_key_beyond_its_rate_waits_and_others_do_not() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"name": "x", "scope": "admin", "requestsPerSecond": 2, "burst": 3}"#;
    let (_, token) = make(&api, body).await;

    for left in [2, 1, 0] {
        let reply = get_as(&api, &token, "/api/v1/app").await;
        assert_eq!(reply.headers["ratelimit-policy"], "\"requests\";q=3;w=2");
        let shown = reply.headers["ratelimit"].to_str().unwrap();
        assert!(
            shown.starts_with(&format!("\"requests\";r={left};t=")),
            "{shown}"
        );
        reply.expect(200);
    }
    let refused = get_as(&api, &token, "/api/v1/app").await;
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(refused.headers.contains_key("ratelimit"));
    refused.expect_problem(429, "rate_limited");
    let other = api.get("/api/v1/app").await;
    assert!(!other.headers.contains_key("ratelimit"), "no limit applies");
    other.expect(200);

    tokio::time::sleep(Duration::from_millis(500)).await;
    get_as(&api, &token, "/api/v1/app").await.expect(200);
    let refused = get_as(&api, &token, "/api/v1/app").await;
    refused.expect_problem(429, "rate_limited");
}

#[tokio::test(start_paused = true)]
async fn a_batch_counts_its_messages() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"name": "x", "scope": "admin", "requestsPerSecond": 1, "burst": 2}"#;
    let (_, token) = make(&api, body).await;
    let item = r#"{"eventType": "a", "payload": {}}"#;
    let batch = format!(r#"{{"messages": [{item}, {item}, {item}, {item}]}}"#);

    let path = format!("{MSG}/batch");
    let reply = call_as(&api, &token, Method::POST, &path, &batch).await;

    reply.expect(202);
    let refused = call_as(&api, &token, Method::POST, MSG, BODY).await;
    // Two were there and four were taken: three more must come back for the next one.
    assert_eq!(refused.headers["retry-after"], "3");
    refused.expect_problem(429, "rate_limited");
}

#[tokio::test(start_paused = true)]
async fn a_day_has_so_many_messages() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"name": "x", "scope": "publish", "messagesPerDay": 2}"#;
    let (_, token) = make(&api, body).await;
    let publish = || call_as(&api, &token, Method::POST, MSG, BODY);

    let bad = r#"{"eventType": "a", "payload": {}, "application": null}"#;
    let nowhere = call_as(&api, &token, Method::POST, "/api/v1/app/nobody/msg", bad).await;
    nowhere.expect_problem(404, "not_found");
    publish().await.expect(202);
    publish().await.expect(202);
    let refused = publish().await;
    let wait: u32 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=86_400).contains(&wait), "{wait}");
    refused.expect_problem(429, "rate_limited");

    tokio::time::sleep(Duration::from_secs(wait.into())).await;
    publish().await.expect(202);
}

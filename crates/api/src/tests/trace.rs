//! `…/msg/{msg_id}/trace`.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::TestApi;

const ENDPOINTS: &str = "/api/v1/app/acme/endpoint";

async fn endpoint(api: &TestApi, uid: &str, more: Value) {
    let mut body = json!({"url": format!("https://example.com/{uid}"), "uid": uid});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    api.post(ENDPOINTS, &body.to_string()).await.expect(201);
}

async fn trace(api: &TestApi, message: &str) -> Vec<Value> {
    let path = format!("/api/v1/app/acme/msg/{message}/trace");
    let list = api.get(&path).await.expect(200);
    list["data"].as_array().unwrap().clone()
}

fn of<'a>(trace: &'a [Value], uid: &str) -> &'a Value {
    trace
        .iter()
        .find(|item| item["endpointUid"] == uid)
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_endpoint_says_why_it_got_a_message_or_not() {
    let api = TestApi::new().await;
    api.acme().await;
    endpoint(&api, "all", json!({})).await;
    endpoint(&api, "type", json!({"eventTypes": ["other"]})).await;
    endpoint(&api, "pattern", json!({"eventTypes": ["b", "a.*"]})).await;
    endpoint(&api, "wide", json!({"eventTypes": ["b", "**"]})).await;
    endpoint(&api, "channel", json!({"channels": ["news"]})).await;
    endpoint(&api, "off", json!({"disabled": true})).await;
    endpoint(&api, "changed", json!({"eventTypes": ["other"]})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let message = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    endpoint(&api, "late", json!({})).await;
    let patch = json!({"eventTypes": null}).to_string();
    api.patch(&format!("{ENDPOINTS}/changed"), &patch)
        .await
        .expect(200);

    let trace = trace(&api, &message).await;
    for (uid, verdict, changed) in [
        ("all", "matched", false),
        ("type", "event_type", false),
        ("pattern", "event_type", false),
        ("wide", "matched", false),
        ("channel", "channel", false),
        ("off", "disabled", false),
        ("changed", "changed_since", true),
        ("late", "created_later", true),
    ] {
        let item = of(&trace, uid);
        assert_eq!(item["verdict"], verdict, "{item}");
        assert_eq!(item["matched"], verdict == "matched", "{item}");
        assert_eq!(item["changedSince"], changed, "{item}");
    }
    assert_eq!(of(&trace, "off")["disabledReason"], "requested");
    let delivery = &of(&trace, "all")["delivery"];
    assert_eq!(delivery["state"], "success", "{delivery}");
    assert_eq!(delivery["attempts"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_delivery_shows_its_attempts_its_error_and_what_is_next() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.network.set_down(true);

    let message = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;

    let delivery = &trace(&api, &message).await[0]["delivery"];
    assert_eq!(delivery["state"], "pending", "{delivery}");
    assert_eq!(delivery["attempts"], 1);
    assert!(delivery["nextAttempt"].is_string());
    assert!(delivery["lastError"].is_string());
    assert!(delivery["lastErrorDetail"].is_string(), "an operator asks");
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_paged_and_needs_a_message() {
    let api = TestApi::new().await;
    api.acme().await;
    for uid in ["a", "b", "c"] {
        endpoint(&api, uid, json!({})).await;
    }
    let message = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;

    let path = format!("/api/v1/app/acme/msg/{message}/trace?limit=2");
    let first = api.get(&path).await.expect(200);
    let iterator = first["iterator"].as_str().unwrap();
    let rest = api
        .get(&format!("{path}&iterator={iterator}"))
        .await
        .expect(200);

    assert_eq!(
        (&first["done"], &rest["done"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(rest["data"][0]["endpointUid"], "c");
    let missing = api.get("/api/v1/app/acme/msg/none/trace").await;
    missing.expect_problem(404, "not_found");
}

//! Replays, erased content, examples.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::harness::TestApi;

const APP: &str = "/api/v1/app/acme";
const HOOK: &str = "/api/v1/app/acme/endpoint/hook";
const LONG_AGO: &str = r#"{"since": "2020-01-01T00:00:00Z"}"#;

/// One canceled delivery, at an endpoint that works again.
async fn acme_with_canceled() -> (TestApi, String) {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.network.set_down(true);
    let id = api
        .publish(r#"{"eventType": "a", "payload": {"n": 1}}"#)
        .await;
    api.settle().await;
    for disabled in ["true", "false"] {
        api.patch(HOOK, &format!(r#"{{"disabled": {disabled}}}"#))
            .await
            .expect(200);
    }
    api.network.set_down(false);
    (api, id)
}

fn sent(api: &TestApi) -> usize {
    api.network.seen().len()
}

async fn tasks(api: &TestApi, query: &str) -> Vec<Value> {
    let list = api.get(&format!("/api/v1/background-task{query}")).await;
    list.expect(200)["data"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_recovery_sends_what_was_canceled_and_shows_as_a_task() {
    let (api, id) = acme_with_canceled().await;

    let task = api
        .post(&format!("{HOOK}/recover"), LONG_AGO)
        .await
        .expect(202);
    api.settle().await;

    assert_eq!(task["task"], "endpoint.recover");
    assert_eq!(task["status"], "running");
    assert!(task["id"].as_str().unwrap().starts_with("job_"));
    assert_eq!(sent(&api), 1);
    let path = format!("/api/v1/background-task/{}", task["id"].as_str().unwrap());
    let now = api.get(&path).await.expect(200);
    assert_eq!(now["status"], "finished");
    assert_eq!(now["data"]["progress"]["done"], 1);
    assert_eq!(tasks(&api, "").await, [now]);
    let list = api.get(&format!("{HOOK}/msg?status=0")).await.expect(200);
    assert_eq!(list["data"][0]["id"], id.as_str());
}

#[tokio::test(start_paused = true)]
async fn tasks_are_filtered_as_clients_ask() {
    let (api, _) = acme_with_canceled().await;
    api.post(&format!("{HOOK}/recover"), LONG_AGO)
        .await
        .expect(202);
    api.post(&format!("{HOOK}/replay-missing"), LONG_AGO)
        .await
        .expect(202);
    api.settle().await;

    for (query, count) in [
        ("?status=finished", 2),
        ("?status=running", 0),
        ("?status=failed", 0),
        ("?task=endpoint.recover", 1),
        ("?task=endpoint.replay", 1),
        ("?task=sdk.generate", 0),
        ("?limit=1", 1),
    ] {
        assert_eq!(tasks(&api, query).await.len(), count, "{query}");
    }
    let unknown = format!("/api/v1/background-task/job_{}", "0".repeat(26));
    api.get(&unknown).await.expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_bulk_replay_takes_the_statuses_that_are_over() {
    let (api, _) = acme_with_canceled().await;
    let ask = async |status: &str| {
        let body = format!(r#"{{"since": "2020-01-01T00:00:00Z", "status": {status}}}"#);
        api.post(&format!("{HOOK}/bulk-replay"), &body).await
    };

    ask("0").await.expect(202);
    api.settle().await;
    assert_eq!(sent(&api), 0, "nothing was delivered yet");
    ask("4").await.expect(202);
    api.settle().await;
    assert_eq!(sent(&api), 1);
    ask("0").await.expect(202);
    api.settle().await;
    assert_eq!(sent(&api), 2);
    for bad in ["1", "3", "7"] {
        ask(bad).await.expect_faults(&["body.status"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_message_is_sent_to_an_endpoint_that_came_later() {
    let api = TestApi::new().await;
    api.acme().await;
    api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    let hook = r#"{"url": "https://example.com/hook", "uid": "hook"}"#;
    api.post(&format!("{APP}/endpoint"), hook).await.expect(201);

    api.post(&format!("{HOOK}/replay-missing"), LONG_AGO)
        .await
        .expect(202);
    api.settle().await;

    assert_eq!(sent(&api), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_can_be_counted_first_and_looked_at_later() {
    let (api, _) = acme_with_canceled().await;
    let path = format!("{APP}/replay");

    let dry = api.post(&path, r#"{"dryRun": true}"#).await.expect(200);
    assert_eq!(dry, json!({"dryRun": true, "matched": 1, "complete": true}));
    let none = r#"{"dryRun": true, "statuses": ["failed", "missing"]}"#;
    assert_eq!(api.post(&path, none).await.expect(200)["matched"], 0);
    let body = r#"{"endpoints": ["hook"], "eventTypes": ["a"], "statuses": ["all"], "rate": 5}"#;
    let replay = api.post(&path, body).await.expect(202);
    api.settle().await;

    assert_eq!(sent(&api), 1);
    assert_eq!(
        replay["statuses"],
        json!(["success", "failed", "canceled", "missing"])
    );
    assert_eq!(
        (&replay["rate"], &replay["eventTypes"]),
        (&json!(5), &json!(["a"]))
    );
    let one = format!("{path}/{}", replay["id"].as_str().unwrap());
    let now = api.get(&one).await.expect(200);
    assert_eq!(now["status"], "finished");
    assert_eq!(
        now["progress"],
        json!({"examined": 1, "done": 1, "endpoints": 1, "endpointsDone": 1})
    );
    let list = api.get(&path).await.expect(200);
    assert_eq!(list["data"], json!([now]));
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_paused_resumed_and_canceled() {
    let (api, _) = acme_with_canceled().await;
    api.post(&format!("{HOOK}/pause"), "").await.expect(200);
    let path = format!("{APP}/replay");
    let replay = api.post(&path, r#"{"rate": 1}"#).await.expect(202);
    let one = format!("{path}/{}", replay["id"].as_str().unwrap());
    let change = async |action: &str| api.post(&format!("{one}/{action}"), "").await.expect(200);

    assert_eq!(change("pause").await["status"], "paused");
    assert_eq!(tasks(&api, "?status=running").await.len(), 1);
    assert_eq!(change("resume").await["status"], "running");
    assert_eq!(change("cancel").await["status"], "canceled");
    assert_eq!(tasks(&api, "").await[0]["status"], "failed");
    let unknown = format!("{path}/job_{}/cancel", "0".repeat(26));
    api.post(&unknown, "")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_cannot_be_names_its_fields() {
    let (api, _) = acme_with_canceled().await;
    let path = format!("{APP}/replay");

    for (body, place) in [
        (r#"{"rate": 0}"#, "body.rate"),
        (r#"{"endpoints": []}"#, "body.endpoints"),
        (r#"{"since": "2999-01-01T00:00:00Z"}"#, "body.since"),
        (r#"{"since": "yesterday"}"#, "body.since"),
        (r#"{"statuses": ["odd"]}"#, "body.statuses.0"),
        (r#"{"statusCodeClass": 250}"#, "body.statusCodeClass"),
        (r#"{"eventTypes": ["a b"]}"#, "body.eventTypes.0"),
    ] {
        api.post(&path, body).await.expect_faults(&[place]);
    }
    api.post(&format!("{HOOK}/recover"), "{}")
        .await
        .expect_faults(&["body.since"]);
    let unknown = r#"{"endpoints": ["none"]}"#;
    api.post(&path, unknown)
        .await
        .expect_problem(404, "not_found");
    api.patch(HOOK, r#"{"disabled": true}"#).await.expect(200);
    api.post(&format!("{HOOK}/recover"), LONG_AGO)
        .await
        .expect_problem(409, "endpoint_disabled");
    let elsewhere = r#"{"name": "Other", "uid": "other"}"#;
    api.post("/api/v1/app", elsewhere).await.expect(201);
    let replay = api.post(&path, "{}").await.expect(202);
    let foreign = format!(
        "/api/v1/app/other/replay/{}",
        replay["id"].as_str().unwrap()
    );
    api.get(&foreign).await.expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_post_has_one_effect() {
    let (api, id) = acme_with_canceled().await;
    let schema = r#"{"name": "ex", "description": "", "schemas": {"1": {"examples": [{"n": 1}]}}}"#;
    api.post("/api/v1/event-type", schema).await.expect(201);
    let secret = format!("{HOOK}/secret/rotate");

    for (path, body, status) in [
        (format!("{HOOK}/recover"), LONG_AGO, 202),
        (format!("{HOOK}/replay-missing"), LONG_AGO, 202),
        (format!("{HOOK}/bulk-replay"), LONG_AGO, 202),
        (format!("{APP}/replay"), "{}", 202),
        (format!("{APP}/msg/expunge-all-contents"), "", 202),
        (
            format!("{HOOK}/send-example"),
            r#"{"eventType": "ex"}"#,
            200,
        ),
        (secret.clone(), "", 200),
    ] {
        let key = format!("key for {path}");
        let first = api.post_keyed(&path, &key, body).await.expect(status);
        let again = api.post_keyed(&path, &key, body).await.expect(status);

        assert_eq!(first["id"], again["id"], "{path}");
        assert_eq!(first["key"], again["key"], "{path}");
        let other = r#"{"since": "2021-01-01T00:00:00Z", "eventType": "ex"}"#;
        api.post_keyed(&path, &key, other)
            .await
            .expect_problem(409, "idempotency_key_reused");
    }
    assert_eq!(tasks(&api, "").await.len(), 5);
    let key = api.get(&format!("{HOOK}/secret")).await.expect(200);
    let again = api
        .post_keyed(&secret, &format!("key for {secret}"), "")
        .await
        .expect(200);
    assert_eq!(key, again, "rotated once");
    assert!(!id.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_erased_payload_is_gone_and_cannot_be_sent_again() {
    let (api, _) = acme_with_canceled().await;
    api.network.set_down(true);
    let id = api
        .publish(r#"{"eventType": "a", "payload": {"n": 2}}"#)
        .await;
    api.settle().await;
    let delete = async |path: String| api.call(Method::DELETE, &path, &[], Body::empty()).await;

    delete(format!("{APP}/msg/{id}/content")).await.expect(204);
    api.network.set_down(false);
    tokio::time::sleep(std::time::Duration::from_mins(10)).await;

    assert_eq!(sent(&api), 0);
    let message = api.get(&format!("{APP}/msg/{id}")).await.expect(200);
    assert_eq!(message["payload"], json!({}));
    let path = format!("{APP}/msg/{id}/endpoint?expanded_statuses=true");
    let to = api.get(&path).await.expect(200);
    assert_eq!(to["data"][0]["statusText"], "canceled");
    api.post(&format!("{APP}/msg/{id}/endpoint/hook/resend"), "")
        .await
        .expect_problem(409, "payload_gone");
    delete(format!("{APP}/msg/{id}/content")).await.expect(204);
    delete(format!("{APP}/msg/none/content"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn payloads_are_erased_by_a_list_of_ids() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let (first, event) = (r#"{"eventType": "a", "payload": {"n": 1}}"#, "order-7");
    let id = api.publish(first).await;
    let second = r#"{"eventType": "a", "payload": {"n": 1}, "eventId": "order-7"}"#;
    api.publish(second).await;
    let kept = api.publish(first).await;
    api.settle().await;
    let body = json!({"ids": [id, event, "none", "no id"]}).to_string();
    let path = format!("{APP}/msg/bulk-expunge");

    let erased = api.post(&path, &body).await.expect(200);

    let expected = json!({
        (id.as_str()): "expunged", (event): "expunged", "none": "not-found", "no id": "not-found",
    });
    assert_eq!(erased["results"], expected);
    for (message, payload) in [
        (id.as_str(), json!({})),
        (event, json!({})),
        (&kept, json!({"n": 1})),
    ] {
        let message = api.get(&format!("{APP}/msg/{message}")).await.expect(200);
        assert_eq!(message["payload"], payload);
    }
    let many: Vec<_> = (0..=1_000).map(|n| n.to_string()).collect();
    let refused = api.post(&path, &json!({"ids": many}).to_string()).await;
    refused.expect_faults(&["body.ids"]);
}

#[tokio::test(start_paused = true)]
async fn an_erased_answer_is_gone() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let id = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    let attempts = format!("{APP}/attempt/msg/{id}");
    let before = api.get(&attempts).await.expect(200)["data"][0].clone();
    assert_eq!(before["response"], "thanks");

    let path = format!("{APP}/msg/{id}/attempt/{}", before["id"].as_str().unwrap());
    let content = format!("{path}/content");
    let gone = api.call(Method::DELETE, &content, &[], Body::empty());
    gone.await.expect(204);

    let after = api.get(&path).await.expect(200);
    assert_eq!(after["response"], "");
    assert_eq!(after["responseStatusCode"], 200);
}

#[tokio::test(start_paused = true)]
async fn all_payloads_of_an_application_are_erased() {
    let (api, id) = acme_with_canceled().await;

    let path = format!("{APP}/msg/expunge-all-contents");
    let task = api.post(&path, "").await.expect(202);
    api.settle().await;

    assert_eq!(task["task"], "application.purge_content");
    let message = api.get(&format!("{APP}/msg/{id}")).await.expect(200);
    assert_eq!(message["payload"], json!({}));
    assert_eq!(tasks(&api, "?status=finished").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_example_goes_to_one_endpoint_whatever_it_subscribed_to() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    for (name, schemas) in [
        ("with.example", r#"{"1": {"examples": [{"n": 1}]}}"#),
        ("without", r#"{"1": {"type": "object"}}"#),
    ] {
        let body = format!(r#"{{"name": "{name}", "description": "", "schemas": {schemas}}}"#);
        api.post("/api/v1/event-type", &body).await.expect(201);
    }
    let picky = r#"{"url": "https://example.com/picky", "uid": "picky", "eventTypes": ["other"]}"#;
    api.post(&format!("{APP}/endpoint"), picky)
        .await
        .expect(201);
    let send = async |name: &str| {
        let body = format!(r#"{{"eventType": "{name}"}}"#);
        api.post(&format!("{APP}/endpoint/picky/send-example"), &body)
            .await
    };

    let message = send("with.example").await.expect(200);
    api.settle().await;

    assert_eq!(message["payload"], json!({"n": 1}));
    let seen = api.network.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target.as_str(), "https://example.com/picky");
    assert_eq!(
        seen[0].headers["webhook-id"],
        message["id"].as_str().unwrap()
    );
    let sent_as = format!("{APP}/endpoint/picky/send-example");
    let beyond = r#"{"eventType": "with.example", "exampleIndex": 1}"#;
    let refused = api.post(&sent_as, beyond).await;
    refused.expect_faults(&["body.exampleIndex"]);
    let own = r#"{"eventType": "without", "payload": {"b": 1.0, "a":  2}}"#;
    api.post(&sent_as, own).await.expect(200);
    api.settle().await;
    assert_eq!(api.network.seen()[1].body, br#"{"b": 1.0, "a":  2}"#[..]);
    send("without").await.expect_problem(409, "no_example");
    send("unknown").await.expect_faults(&["body.eventType"]);
    send("a b").await.expect_faults(&["body.eventType"]);
}

#[tokio::test(start_paused = true)]
async fn a_precheck_says_whether_anybody_would_get_it() {
    let api = TestApi::new().await;
    api.acme().await;
    let hook = r#"{"url": "https://example.com/h", "eventTypes": ["a"], "channels": ["c"]}"#;
    api.post(&format!("{APP}/endpoint"), hook).await.expect(201);

    for (body, active) in [
        (r#"{"eventType": "a", "channels": ["c", "d"]}"#, true),
        (r#"{"eventType": "a"}"#, false),
        (r#"{"eventType": "b", "channels": ["c"]}"#, false),
    ] {
        let found = api.post(&format!("{APP}/msg/precheck/active"), body).await;
        assert_eq!(found.expect(200), json!({"active": active}), "{body}");
    }
}

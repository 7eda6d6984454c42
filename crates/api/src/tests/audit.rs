//! The audit trail: what is noted, how it is shown, and that it is whole.

use http::Method;
use serde_json::{Value, json};

use super::harness::{ADMIN_KEY, TestApi};
use super::keys::make;
use super::tenancy::World;
use crate::permissions::{Need, ROUTES};

async fn trail(api: &TestApi, query: &str) -> Vec<Value> {
    let list = api.get(&format!("/api/v1/audit?{query}")).await.expect(200);
    list["data"].as_array().unwrap().clone()
}

/// One attempt by hand is no administration: asking for it is like publishing, and as often. The
/// log of attempts tells of it with its trigger, and that of requests of one that was put in
/// again. A job for many of them is noted as a job.
fn makes_one_attempt(path: &str) -> bool {
    path.ends_with("/resend") || path.ends_with("/send-example")
}

/// Nothing changes at a job that has ended, as the one here has by then; one that runs is changed
/// in the store's own cases.
fn is_about_an_ended_job(path: &str) -> bool {
    path.contains("/replay/{job_id}/")
}

#[tokio::test(start_paused = true)]
async fn every_call_that_changes_something_leaves_an_entry() {
    for (method, path, permission) in ROUTES {
        if permission.need != Need::Write || *method == Method::GET {
            continue;
        }
        if makes_one_attempt(path) || is_about_an_ended_job(path) || path.ends_with("/compare") {
            continue;
        }
        let world = World::new().await;
        let before = trail(&world.api, "limit=1").await[0]["number"].clone();

        let reply = world.call(ADMIN_KEY, method, path, &world.owned).await;

        assert!(
            reply.status.is_success(),
            "{method} {path}: {:?}",
            reply.bytes
        );
        let newest = &trail(&world.api, "limit=1").await[0];
        assert_ne!(newest["number"], before, "{method} {path} leaves no entry");
        let request = reply.headers["x-request-id"].to_str().unwrap();
        assert_eq!(newest["requestId"], request, "{method} {path}");
        assert!(newest["key"].as_str().unwrap().starts_with("key_"));
        let verdict = world.api.get("/api/v1/audit/verify").await.expect(200);
        assert_eq!(verdict["valid"], true, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_tells_what_changed_and_no_secret() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let hook = "/api/v1/app/acme/endpoint/hook";
    let known = api.get(&format!("{hook}/secret")).await.expect(200);
    let known = known["key"].as_str().unwrap().to_owned();

    let body = r#"{"description": "new", "url": "https://example.org/"}"#;
    api.patch(hook, body).await.expect(200);
    let headers = r#"{"headers": {"Authorization": "Bearer hunter2"}}"#;
    api.put(&format!("{hook}/headers"), headers)
        .await
        .expect(204);
    api.post(&format!("{hook}/secret/rotate"), "{}")
        .await
        .expect(200);
    make(&api, r#"{"name": "ci", "scope": "read"}"#).await;

    let entries = trail(&api, "order=ascending").await;
    let actions: Vec<_> = entries
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    let expected = [
        "api_key.create",
        "application.create",
        "endpoint.create",
        "endpoint.update",
        "endpoint.update",
        "endpoint.rotate_secret",
        "api_key.create",
    ];
    assert_eq!(actions, expected);
    assert!(
        entries[0].get("key").is_none(),
        "posthaste made the first key itself"
    );
    let url = json!({"before": "https://example.com/hook", "after": "https://example.org/"});
    assert_eq!(entries[3]["changes"]["url"], url);
    assert_eq!(entries[3]["changes"].as_object().unwrap().len(), 2);
    assert_eq!(entries[4]["changes"], json!({"headers": {"changed": true}}));
    assert_eq!(entries[5]["changes"], json!({"secret": {"changed": true}}));
    assert_eq!(entries[4]["afterHash"], entries[5]["beforeHash"]);
    let text = json!(entries).to_string();
    for secret in [&known["whsec_".len()..], "hunter2", "phk_", "ph_"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_trail_is_filtered_and_paged() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let made = trail(&api, "action=endpoint.create").await;
    assert_eq!(made.len(), 1);
    let target = made[0]["target"].as_str().unwrap();
    let key = made[0]["key"].as_str().unwrap();

    assert_eq!(trail(&api, &format!("target={target}")).await, made);
    assert_eq!(trail(&api, &format!("key={key}")).await.len(), 2);
    assert!(trail(&api, "before=2020-01-01T00:00:00Z").await.is_empty());
    let first = api.get("/api/v1/audit?limit=2").await.expect(200);
    let next = first["iterator"].as_str().unwrap();
    let rest = trail(&api, &format!("limit=2&iterator={next}")).await;
    assert_eq!(rest[0]["number"], 1);
    let bad = api.get("/api/v1/audit?key=nobody").await;
    bad.expect_faults(&["query.key"]);
}

#[tokio::test(start_paused = true)]
async fn publishing_leaves_no_entry() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let before = trail(&api, "").await;

    api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;

    assert_eq!(trail(&api, "").await, before);
}

//! Putting many requests in again: counted, run, paused, canceled, and told of in the trail.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::TestApi;
use super::inbound::{REQUESTS, SECRET, SOURCES, path, signature};

const MANY: &str = "/api/v1/app/acme/request/replay";

/// A source whose secret was wrong while so many requests came, and is right now.
async fn refused(api: &TestApi, count: usize) -> String {
    api.acme().await;
    let body = json!({"name": "x", "uid": "gh", "provider": "github", "secrets": ["wrong"]});
    let path = path(&api.source(body).await);
    for number in 0..count {
        let body = format!(r#"{{"number": {number}}}"#);
        let id = format!("delivery-{number}");
        api.push(&path, &id, &body)
            .await
            .expect_problem(401, "verification_failed");
    }
    api.service.rejections_settled().await;
    let secret = json!({"secret": SECRET}).to_string();
    let rotate = format!("{SOURCES}/gh/secret/rotate");
    api.post(&rotate, &secret).await.expect(200);
    path
}

async fn job(api: &TestApi, id: &str) -> Value {
    api.get(&format!("/api/v1/app/acme/replay/{id}"))
        .await
        .expect(200)
}

/// Lets time pass until a job has ended.
async fn ended(api: &TestApi, job_: &Value) -> Value {
    let id = job_["id"].as_str().unwrap();
    for _ in 0..1_000 {
        let found = job(api, id).await;
        if found["status"] != "running" {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not end");
}

async fn messages(api: &TestApi) -> usize {
    let list = api.get("/api/v1/app/acme/msg?limit=250").await.expect(200);
    list["data"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn refused_requests_are_counted_and_then_put_in_again_once() {
    let api = TestApi::new().await;
    refused(&api, 60).await;

    let count = api.post(MANY, r#"{"dryRun": true}"#).await.expect(200);
    assert_eq!(count["matched"], 60);
    assert_eq!(
        (&count["dryRun"], &count["complete"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(messages(&api).await, 0);

    let begun = api.post(MANY, "").await.expect(202);
    assert_eq!(begun["kind"], "replay_requests");
    assert_eq!(
        begun["requests"],
        json!({
            "verdicts": ["rejected"], "verify": true, "deduplicate": true,
        })
    );
    let ended_ = ended(&api, &begun).await;
    assert_eq!(ended_["status"], "finished");
    assert_eq!(ended_["progress"]["done"], 60);
    assert_eq!(messages(&api).await, 60);

    let again = api.post(MANY, "").await.expect(202);
    let again = ended(&api, &again).await;
    assert_eq!(again["progress"]["done"], 0);
    assert_eq!(again["progress"]["duplicates"], 60);
    assert_eq!(messages(&api).await, 60);
}

#[tokio::test(start_paused = true)]
async fn source_reason_time_and_verdict_say_which() {
    let api = TestApi::new().await;
    let path = refused(&api, 3).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let since = api.service.received_at().to_string();
    api.push(&path, "good", "{}").await.expect(200);
    api.deliver(&path, &[], "{}")
        .await
        .expect_problem(401, "verification_failed");
    api.service.rejections_settled().await;

    for (given, matched) in [
        (json!({"source": "gh"}), 4),
        (json!({"reason": "signature_mismatch"}), 3),
        (json!({"reason": "nothing"}), 0),
        (json!({"since": since}), 1),
        (json!({"until": since}), 3),
        (
            json!({"since": since, "verdicts": ["accepted", "rejected"]}),
            2,
        ),
    ] {
        let mut body = given.clone();
        body["dryRun"] = true.into();
        let count = api.post(MANY, &body.to_string()).await.expect(200);
        assert_eq!(count["matched"], matched, "{given}");
    }
    let unknown = api.post(MANY, r#"{"source": "nobody"}"#).await;
    unknown.expect_problem(404, "not_found");
    for (body, place) in [
        (r#"{"verdicts": ["handshake"]}"#, "body.verdicts"),
        (r#"{"verdicts": []}"#, "body.verdicts"),
        (r#"{"rate": 0}"#, "body.rate"),
        (
            r#"{"since": "2020-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z"}"#,
            "body.since",
        ),
    ] {
        api.post(MANY, body).await.expect_faults(&[place]);
    }
}

#[tokio::test(start_paused = true)]
async fn past_verification_and_past_deduplication_are_said_so() {
    let api = TestApi::new().await;
    let path = refused(&api, 0).await;
    let forged = signature("another secret", "{}");
    api.deliver(&path, &[("x-hub-signature-256", &forged)], "{}")
        .await
        .expect_problem(401, "verification_failed");
    api.service.rejections_settled().await;

    let strict = api.post(MANY, "{}").await.expect(202);
    let strict = ended(&api, &strict).await;
    assert_eq!(strict["progress"]["refused"], 1);
    assert_eq!(messages(&api).await, 0);

    let until = api.service.received_at().to_string();
    for made in [1, 2] {
        let body = json!({"verify": false, "deduplicate": false, "until": until});
        let past = api.post(MANY, &body.to_string()).await.expect(202);
        assert_eq!(past["requests"]["verify"], false);
        ended(&api, &past).await;
        assert!(messages(&api).await >= made);
    }
    assert!(
        api.requests("verdict=accepted")
            .await
            .iter()
            .all(|one| one["replayed"] == true)
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_its_rate_and_is_paused_and_canceled() {
    let api = TestApi::new().await;
    refused(&api, 20).await;

    let begun = api.post(MANY, r#"{"rate": 1}"#).await.expect(202);
    let path = format!("/api/v1/app/acme/replay/{}", begun["id"].as_str().unwrap());
    tokio::time::sleep(Duration::from_secs(5)).await;
    api.post(&format!("{path}/pause"), "").await.expect(200);
    let paused = messages(&api).await;
    assert!((4..=7).contains(&paused), "{paused}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(messages(&api).await, paused);

    api.post(&format!("{path}/resume"), "").await.expect(200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resumed = messages(&api).await;
    assert!(resumed > paused, "{resumed}");
    api.post(&format!("{path}/cancel"), "").await.expect(200);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(messages(&api).await <= resumed + 1);
    let ended = api.get(&path).await.expect(200);
    assert_eq!(ended["status"], "canceled");
}

#[tokio::test(start_paused = true)]
async fn the_trail_tells_of_one_request_and_of_many() {
    let api = TestApi::new().await;
    refused(&api, 1).await;
    let request = &api.requests("").await[0];
    let id = request["id"].as_str().unwrap();

    let one = format!("{REQUESTS}/{id}/replay");
    api.post(&one, r#"{"verify": false}"#).await.expect(200);
    api.post(MANY, r#"{"reason": "timestamp"}"#)
        .await
        .expect(202);

    let trail = api.get("/api/v1/audit?limit=10").await.expect(200);
    let entries = trail["data"].as_array().unwrap();
    let find = |action: &str| entries.iter().find(|one| one["action"] == action).unwrap();
    let single = find("request.replay");
    assert_eq!(single["target"], *id);
    assert_eq!(single["changes"]["verify"]["after"], false);
    let many = find("job.create");
    let told = many["changes"]["requests"]["after"].as_str().unwrap();
    assert!(told.contains("timestamp"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn clients_of_the_older_task_list_are_not_shown_what_they_do_not_know() {
    let api = TestApi::new().await;
    refused(&api, 1).await;

    let begun = api.post(MANY, "").await.expect(202);
    ended(&api, &begun).await;

    let tasks = api.get("/api/v1/background-task").await.expect(200);
    assert_eq!(tasks["data"], json!([]));
    let replays = api.get("/api/v1/app/acme/replay").await.expect(200);
    assert_eq!(replays["data"][0]["id"], begun["id"]);
}

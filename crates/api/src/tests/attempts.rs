//! Attempts, destinations, resending.

use serde_json::json;

use super::harness::TestApi;

const APP: &str = "/api/v1/app/acme";

#[tokio::test(start_paused = true)]
async fn a_delivery_shows_as_an_attempt_of_message_and_endpoint() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let id = api
        .publish(r#"{"eventType": "a", "payload": {"n": 1}}"#)
        .await;
    api.settle().await;

    let by_message = api
        .get(&format!("{APP}/attempt/msg/{id}"))
        .await
        .expect(200);
    let by_endpoint = api
        .get(&format!("{APP}/attempt/endpoint/hook"))
        .await
        .expect(200);

    assert_eq!(by_message["data"], by_endpoint["data"]);
    let attempt = &by_message["data"][0];
    let endpoint = api.get(&format!("{APP}/endpoint/hook")).await.expect(200);
    assert_eq!(
        *attempt,
        json!({
            "id": attempt["id"],
            "msgId": id,
            "endpointId": endpoint["id"],
            "url": "https://example.com/hook",
            "number": 1,
            "timestamp": "2026-01-01T00:00:00.000000Z",
            "status": 0,
            "statusText": "success",
            "triggerType": 0,
            "responseStatusCode": 200,
            "responseDurationMs": 0,
            "response": "thanks",
        })
    );
    let path = format!("{APP}/msg/{id}/attempt/{}", attempt["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.expect(200), *attempt);
    let unknown = format!("{APP}/msg/{id}/attempt/atmpt_{}", "0".repeat(26));
    api.get(&unknown).await.expect_problem(404, "not_found");
    api.get(&format!("{APP}/msg/{id}/attempt/x"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_filtered_and_shown_as_asked() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.publish(r#"{"eventType": "a", "payload": {"n": 1}, "channels": ["c"], "tags": ["t"]}"#)
        .await;
    api.settle().await;
    api.network.set_down(true);
    api.publish(r#"{"eventType": "b", "payload": {"n": 2}}"#)
        .await;
    api.settle().await;

    for (query, expected) in [
        ("", 2),
        ("?status=0", 1),
        ("?status=2", 1),
        ("?status=1", 0),
        ("?status=3", 0),
        ("?status_code_class=200", 1),
        ("?status_code_class=500", 0),
        ("?status_code_class=0", 1),
        ("?event_types=a", 1),
        ("?event_types=a,b", 2),
        ("?channel=c", 1),
        ("?tag=t", 1),
        ("?before=2026-01-01T00:00:00.5Z", 1),
        ("?limit=1", 1),
    ] {
        let list = api
            .get(&format!("{APP}/attempt/endpoint/hook{query}"))
            .await
            .expect(200);
        assert_eq!(list["data"].as_array().unwrap().len(), expected, "{query}");
    }
    let path = format!("{APP}/attempt/endpoint/hook");
    api.get(&format!("{path}?status=9"))
        .await
        .expect_faults(&["query.status"]);
    let class = format!("{path}?status_code_class=404");
    api.get(&class)
        .await
        .expect_faults(&["query.status_code_class"]);
    let list = api
        .get(&format!("{path}?with_msg=true&with_content=false"))
        .await
        .expect(200);
    let [newest, oldest] = [&list["data"][0], &list["data"][1]];
    assert_eq!(newest["msg"]["payload"], json!({"n": 2}));
    assert_eq!(oldest["response"], "");
    assert_eq!(newest["error"], json!({"class": "connection_refused"}));
    assert_eq!(newest["responseStatusCode"], 0);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_walked_in_pages() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    for _ in 0..3 {
        api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
        api.settle().await;
    }
    let path = format!("{APP}/attempt/endpoint/hook");
    let all = api.get(&path).await.expect(200);

    let mut walked = Vec::new();
    let mut iterator = String::new();
    loop {
        let page = api
            .get(&format!("{path}?limit=1{iterator}"))
            .await
            .expect(200);
        walked.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["done"] == true {
            break;
        }
        iterator = format!("&iterator={}", page["iterator"].as_str().unwrap());
    }

    assert_eq!(json!(walked), all["data"]);
    assert_eq!(walked.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn destinations_show_what_became_of_a_message() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.network.set_down(true);
    let id = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    let path = format!("{APP}/msg/{id}/endpoint");

    let waiting = api.get(&path).await.expect(200);
    let destination = &waiting["data"][0];
    assert_eq!(destination["uid"], "hook");
    assert_eq!(
        (&destination["status"], &destination["statusText"]),
        (&json!(1), &json!("pending"))
    );
    assert!(destination["nextAttempt"].is_string());
    api.patch(&format!("{APP}/endpoint/hook"), r#"{"disabled": true}"#)
        .await
        .expect(200);

    let plain = api.get(&path).await.expect(200);
    let expanded = api
        .get(&format!("{path}?expanded_statuses=true"))
        .await
        .expect(200);
    assert_eq!(
        plain["data"][0]["status"], 2,
        "older clients know no canceled deliveries"
    );
    assert_eq!(plain["data"][0]["statusText"], "fail");
    assert_eq!(expanded["data"][0]["status"], 4);
    assert_eq!(expanded["data"][0]["statusText"], "canceled");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_again_on_request() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let id = api
        .publish(r#"{"eventType": "a", "payload": {"n": 1}, "eventId": "e"}"#)
        .await;
    api.settle().await;

    for name in [id.as_str(), "e"] {
        let path = format!("{APP}/msg/{name}/endpoint/hook/resend");
        let answer = api.post(&path, "").await.expect(202);
        assert_eq!(answer, json!({}));
        api.settle().await;
    }

    let seen = api.network.seen();
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter()
            .all(|sent| sent.headers["webhook-id"] == id.as_str())
    );
    let attempts = api
        .get(&format!("{APP}/attempt/msg/{id}?endpoint_id=hook"))
        .await
        .expect(200);
    let triggers: Vec<_> = attempts["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| (attempt["number"].clone(), attempt["triggerType"].clone()))
        .collect();
    assert_eq!(json!(triggers), json!([[3, 1], [2, 1], [1, 0]]));
    let unknown = format!("{APP}/attempt/msg/{id}?endpoint_id=nobody");
    api.get(&unknown).await.expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_to_a_disabled_endpoint() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let id = api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    api.patch(&format!("{APP}/endpoint/hook"), r#"{"disabled": true}"#)
        .await
        .expect(200);

    let reply = api
        .post(&format!("{APP}/msg/{id}/endpoint/hook/resend"), "")
        .await;

    reply.expect_problem(409, "endpoint_disabled");
}

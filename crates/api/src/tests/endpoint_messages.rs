//! What an endpoint gets and got.

use serde_json::json;

use super::harness::TestApi;

const APP: &str = "/api/v1/app/acme";

/// One delivered, one failed and waiting for its retry.
async fn acme_with_two() -> (TestApi, [String; 2]) {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let labelled = r#"{"eventType": "a", "payload": {"n": 1}, "channels": ["c"], "tags": ["t"]}"#;
    let delivered = api.publish(labelled).await;
    api.settle().await;
    api.network.set_down(true);
    let waiting = api
        .publish(r#"{"eventType": "b", "payload": {"n": 2}}"#)
        .await;
    api.settle().await;
    (api, [delivered, waiting])
}

#[tokio::test(start_paused = true)]
async fn messages_of_an_endpoint_show_how_they_stand() {
    let (api, [delivered, waiting]) = acme_with_two().await;

    let list = api
        .get(&format!("{APP}/endpoint/hook/msg"))
        .await
        .expect(200);

    let data = list["data"].as_array().unwrap();
    assert_eq!(data.len(), 2, "newest first");
    assert_eq!(data[0]["id"], waiting);
    assert_eq!(data[0]["statusText"], "pending");
    assert!(data[0]["nextAttempt"].is_string());
    let timestamp = &data[1]["timestamp"];
    assert_eq!(
        data[1],
        json!({
            "id": delivered,
            "eventType": "a",
            "channels": ["c"],
            "tags": ["t"],
            "payload": {"n": 1},
            "timestamp": timestamp,
            "status": 0,
            "statusText": "success",
        })
    );
    assert_eq!(list["done"], true);
}

#[tokio::test(start_paused = true)]
async fn messages_of_an_endpoint_are_filtered() {
    let (api, [delivered, waiting]) = acme_with_two().await;
    let other = r#"{"url": "https://example.com/other", "uid": "other"}"#;
    api.post(&format!("{APP}/endpoint"), other)
        .await
        .expect(201);

    for (query, expected) in [
        ("?status=0", vec![&delivered]),
        ("?status=1", vec![&waiting]),
        ("?status=2", vec![]),
        ("?status=3", vec![]),
        ("?status=4", vec![]),
        ("?channel=c", vec![&delivered]),
        ("?tag=t", vec![&delivered]),
        ("?event_types=b", vec![&waiting]),
        ("?after=2026-01-01T00:00:00.5Z", vec![&waiting]),
        ("?before=2026-01-01T00:00:00.5Z", vec![&delivered]),
        ("?limit=1", vec![&waiting]),
    ] {
        let path = format!("{APP}/endpoint/hook/msg{query}");
        let list = api.get(&path).await.expect(200);
        let ids: Vec<_> = list["data"].as_array().unwrap().iter().collect();
        let ids: Vec<_> = ids
            .iter()
            .map(|item| item["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
    }
    let bare = api
        .get(&format!("{APP}/endpoint/hook/msg?with_content=false"))
        .await
        .expect(200);
    assert_eq!(bare["data"][1]["payload"], json!({}));
    let none = api
        .get(&format!("{APP}/endpoint/other/msg"))
        .await
        .expect(200);
    assert_eq!(none["data"], json!([]));
    api.get(&format!("{APP}/endpoint/hook/msg?status=5"))
        .await
        .expect_faults(&["query.status"]);
    api.get(&format!("{APP}/endpoint/none/msg"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn a_canceled_delivery_is_failed_to_clients_that_know_no_more() {
    let (api, [_, waiting]) = acme_with_two().await;
    api.patch(&format!("{APP}/endpoint/hook"), r#"{"disabled": true}"#)
        .await
        .expect(200);

    for (query, status) in [
        ("?status=2", json!([2, "fail"])),
        ("?status=4", json!([2, "fail"])),
        ("?status=4&expanded_statuses=true", json!([4, "canceled"])),
    ] {
        let path = format!("{APP}/endpoint/hook/msg{query}");
        let list = api.get(&path).await.expect(200);
        let item = &list["data"][0];
        assert_eq!(item["id"], waiting.as_str(), "{query}");
        assert_eq!(json!([item["status"], item["statusText"]]), status);
    }
    let path = format!("{APP}/endpoint/hook/msg?status=2&expanded_statuses=true");
    let failed = api.get(&path).await.expect(200);
    assert_eq!(failed["data"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn what_is_just_being_sent_shows_as_sending() {
    let (api, [_, waiting]) = acme_with_two().await;
    api.network.set_hanging(true);
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;

    for path in [
        "endpoint/hook/msg?status=3",
        "endpoint/hook/msg?event_types=b",
    ] {
        let list = api.get(&format!("{APP}/{path}")).await.expect(200);
        let item = &list["data"][0];
        assert_eq!(item["id"], waiting.as_str(), "{path}");
        assert_eq!(
            json!([item["status"], item["statusText"]]),
            json!([3, "sending"])
        );
    }
    let pending = format!("{APP}/endpoint/hook/msg?status=1");
    assert_eq!(api.get(&pending).await.expect(200)["data"], json!([]));
    let path = format!("{APP}/msg/{waiting}/endpoint");
    let destinations = api.get(&path).await.expect(200);
    assert_eq!(destinations["data"][0]["status"], 3);
    let stats = api
        .get(&format!("{APP}/endpoint/hook/stats"))
        .await
        .expect(200);
    assert_eq!(stats["sending"], 1);
    assert_eq!(stats["pending"], 0);
}

#[tokio::test(start_paused = true)]
async fn an_endpoints_stats_count_attempts_and_deliveries() {
    let (api, _) = acme_with_two().await;

    let all = api
        .get(&format!("{APP}/endpoint/hook/stats"))
        .await
        .expect(200);
    let later = api
        .get(&format!(
            "{APP}/endpoint/hook/stats?since=2026-01-01T01:00:00Z"
        ))
        .await
        .expect(200);

    assert_eq!(
        all,
        json!({"success": 1, "pending": 1, "sending": 0, "fail": 1, "canceled": 0})
    );
    assert_eq!(
        later,
        json!({"success": 0, "pending": 0, "sending": 0, "fail": 0, "canceled": 0})
    );
    api.get(&format!("{APP}/endpoint/hook/stats?since=x"))
        .await
        .expect_faults(&["query.since"]);
}

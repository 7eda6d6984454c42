//! Lists of messages.

use serde_json::{Value, json};

use super::harness::TestApi;

const MSG: &str = "/api/v1/app/acme/msg";

fn event_ids(list: &Value) -> String {
    let data = list["data"].as_array().unwrap();
    data.iter()
        .map(|item| item["eventId"].as_str().unwrap())
        .collect()
}

/// Publishes `a` to `e`, a second apart.
async fn five(api: &TestApi) {
    for (id, event_type, channel, tag) in [
        ("a", "x.y", "red", "old"),
        ("b", "x", "red", "old"),
        ("c", "x.y", "blue", "old"),
        ("d", "z", "blue", "new"),
        ("e", "x.y", "red", "new"),
    ] {
        api.publish(&format!(
            r#"{{"eventType": "{event_type}", "payload": {{"n": 1}}, "eventId": "{id}",
                 "channels": ["{channel}"], "tags": ["{tag}"]}}"#
        ))
        .await;
        api.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_listed_newest_first_and_filtered() {
    let api = TestApi::new().await;
    api.acme().await;
    five(&api).await;

    for (query, expected) in [
        ("", "edcba"),
        ("?channel=red", "eba"),
        ("?tag=new", "ed"),
        ("?event_types=x.y", "eca"),
        ("?event_types=x.y,z", "edca"),
        ("?event_types=x.y&event_types=z", "edca"),
        ("?after=2026-01-01T00:00:02.5Z", "ed"),
        ("?before=2026-01-01T00:00:02.5Z", "cba"),
        (
            "?after=2026-01-01T00:00:00.5Z&before=2026-01-01T00:00:03.5%2B00:00",
            "dcb",
        ),
        ("?channel=red&tag=old&event_types=x", "b"),
        ("?channel=green", ""),
    ] {
        let list = api.get(&format!("{MSG}{query}")).await.expect(200);
        assert_eq!(event_ids(&list), expected, "{query}");
    }
    api.get(&format!("{MSG}?channel=a%20b"))
        .await
        .expect_faults(&["query.channel"]);
    api.get(&format!("{MSG}?after=never"))
        .await
        .expect_faults(&["query.after"]);
}

#[tokio::test(start_paused = true)]
async fn messages_are_walked_in_pages_both_ways() {
    let api = TestApi::new().await;
    api.acme().await;
    five(&api).await;

    let first = api.get(&format!("{MSG}?limit=2")).await.expect(200);
    let next = first["iterator"].as_str().unwrap();
    let second = api
        .get(&format!("{MSG}?limit=2&iterator={next}"))
        .await
        .expect(200);
    let back = second["prevIterator"].as_str().unwrap();
    let again = api
        .get(&format!("{MSG}?limit=2&iterator={back}"))
        .await
        .expect(200);

    assert_eq!(event_ids(&first), "ed");
    assert_eq!(event_ids(&second), "cb");
    assert_eq!(event_ids(&again), "ed");
    let id = first["data"][1]["id"].as_str().unwrap();
    let by_id = api
        .get(&format!("{MSG}?limit=2&iterator={id}"))
        .await
        .expect(200);
    assert_eq!(
        event_ids(&by_id),
        "cb",
        "a message's id is a position as well"
    );
}

#[tokio::test(start_paused = true)]
async fn payloads_are_shown_unless_nobody_asked() {
    let api = TestApi::new().await;
    api.acme().await;
    five(&api).await;

    let with = api.get(MSG).await.expect(200);
    let without = api
        .get(&format!("{MSG}?with_content=false"))
        .await
        .expect(200);

    assert_eq!(with["data"][0]["payload"], json!({"n": 1}));
    assert_eq!(without["data"][0]["payload"], json!({}));
    let one = api
        .get(&format!("{MSG}/a?with_content=false"))
        .await
        .expect(200);
    assert_eq!(one["payload"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn messages_belong_to_their_application_only() {
    let api = TestApi::new().await;
    api.acme().await;
    api.put("/api/v1/app/other", r#"{"name": "Other"}"#)
        .await
        .expect(201);
    let id = api
        .publish(r#"{"eventType": "a", "payload": {}, "eventId": "e"}"#)
        .await;

    for name in [&id, "e", "nothing", "a%20b"] {
        for tail in ["", "/raw", "/endpoint"] {
            let path = format!("/api/v1/app/other/msg/{name}{tail}");
            api.get(&path).await.expect_problem(404, "not_found");
        }
        let attempts = format!("/api/v1/app/other/attempt/msg/{name}");
        api.get(&attempts).await.expect_problem(404, "not_found");
    }
    let others = format!("/api/v1/app/other/msg?iterator={id}");
    assert_eq!(api.get(&others).await.expect(200)["data"], json!([]));
}

fn exported(reply: &super::harness::Reply) -> Vec<Value> {
    let text = std::str::from_utf8(&reply.bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn messages_are_exported_oldest_first_over_several_pages() {
    let api = TestApi::new().await;
    api.acme().await;
    for number in 0..50 {
        api.publish(&format!(
            r#"{{"eventType": "x", "payload": {{"n":
                 {number}}}, "eventId": "e{number}"}}"#
        ))
        .await;
        api.settle().await;
    }

    let reply = api.get(&format!("{MSG}/export")).await;

    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    let numbers: Vec<_> = exported(&reply)
        .iter()
        .map(|message| message["payload"]["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_export_is_filtered_as_a_list_is_and_knows_its_application() {
    let api = TestApi::new().await;
    api.acme().await;
    five(&api).await;

    let reply = api
        .get(&format!(
            "{MSG}/export?channel=red&event_types=x.y&with_content=false"
        ))
        .await;
    let ids: Vec<_> = exported(&reply)
        .iter()
        .map(|message| format!("{}{}", message["eventId"], message["payload"]))
        .collect();
    assert_eq!(ids, ["\"a\"{}", "\"e\"{}"]);

    let unknown = api.get("/api/v1/app/nowhere/msg/export").await;
    unknown.expect_problem(404, "not_found");
}

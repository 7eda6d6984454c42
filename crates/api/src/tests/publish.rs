//! Publishing, singly and in batches.

use domain::Limits;
use futures_util::StreamExt;
use http::Method;
use serde_json::json;

use super::harness::TestApi;

const MSG: &str = "/api/v1/app/acme/msg";

#[tokio::test(start_paused = true)]
async fn a_message_is_answered_as_it_was_published() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"eventType": "a.b", "payload": {"n": 1}, "eventId": "e-1",
                   "channels": ["c"], "tags": ["t"], "newField": {}}"#;

    let published = api.post(MSG, body).await.expect(202);

    assert_eq!(
        published,
        json!({
            "id": published["id"],
            "eventType": "a.b",
            "eventId": "e-1",
            "channels": ["c"],
            "tags": ["t"],
            "payload": {"n": 1},
            "timestamp": "2026-01-01T00:00:00.000000Z",
        })
    );
    let id = published["id"].as_str().unwrap();
    for name in [id, "e-1"] {
        assert_eq!(
            api.get(&format!("{MSG}/{name}")).await.expect(200),
            published
        );
    }
    let without = format!("{MSG}?with_content=false");
    let body = r#"{"eventType": "a", "payload": {"n": 1}}"#;
    assert_eq!(
        api.post(&without, body).await.expect(202)["payload"],
        json!({})
    );
}

#[tokio::test(start_paused = true)]
async fn receivers_get_the_payloads_exact_bytes() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let payload = "{ \"b\":1,\t\"a\":2.0 , \"u\":\"\\u00e9\", \"n\":9007199254740993,\n \"a\":3 }";

    let id = api
        .publish(&format!(r#"{{"eventType":"a","payload": {payload} }}"#))
        .await;
    api.settle().await;

    let seen = api.network.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body, payload.as_bytes());
    assert_eq!(seen[0].headers["webhook-id"], id.as_str());
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let raw = api.get(&format!("{MSG}/{id}/raw")).await;
    assert_eq!(raw.headers["content-type"], "application/json");
    assert_eq!(raw.bytes, payload.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn any_json_value_is_a_payload_and_shown_as_an_object() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    for payload in ["[1, 2]", "\"text\"", "3", "null", "true"] {
        let body = format!(r#"{{"eventType": "a", "payload": {payload}}}"#);
        let published = api.post(MSG, &body).await.expect(202);

        assert_eq!(published["payload"], json!({}), "{payload}");
        let raw = api
            .get(&format!("{MSG}/{}/raw", published["id"].as_str().unwrap()))
            .await;
        assert_eq!(raw.bytes, payload.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_payload_is_sent_as_it_is_with_its_type() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    let body = r#"{"eventType": "a", "payload": {}, "transformationsParams":
        {"rawPayload": "<a>\u00e9</a>", "headers": {"content-type": "application/xml"}}}"#;
    let id = api.publish(body).await;
    api.settle().await;

    let seen = api.network.seen();
    assert_eq!(seen[0].body, "<a>é</a>".as_bytes());
    assert_eq!(seen[0].headers["content-type"], "application/xml");
    let raw = api.get(&format!("{MSG}/{id}/raw")).await;
    assert_eq!(raw.headers["content-type"], "application/xml");
    assert_eq!(raw.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        api.get(&format!("{MSG}/{id}")).await.expect(200)["payload"],
        json!({})
    );
    let as_json = r#"{"eventType": "a", "payload": {},
                      "transformationsParams": {"rawPayload": "{\"x\": 1}"}}"#;
    assert_eq!(
        api.post(MSG, as_json).await.expect(202)["payload"],
        json!({"x": 1})
    );
    let bad = r#"{"eventType": "a", "payload": {}, "transformationsParams":
        {"rawPayload": "x", "headers": {"content-type": "a/b\r\nX-Evil: 1"}}}"#;
    let place = "body.transformationsParams.headers.content-type";
    api.post(MSG, bad).await.expect_faults(&[place]);
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_a_message_is_named_at_once() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"eventType": "a b", "payload": {}, "eventId": "", "channels": ["ok", "\u202e"],
        "tags": ["1", "2", "3", "4", "5", "6", "7", "8", "9"], "deliverAt": "soon",
        "payloadRetentionPeriod": 4}"#;

    api.post(MSG, body).await.expect_faults(&[
        "body.eventType",
        "body.eventId",
        "body.channels.1",
        "body.tags",
        "body.deliverAt",
        "body.payloadRetentionPeriod",
    ]);
    api.post(MSG, r#"{"payload": {}}"#)
        .await
        .expect_faults(&["body.eventType"]);
    api.post(MSG, r#"{"eventType": "a"}"#)
        .await
        .expect_faults(&["body.payload"]);
    api.post(MSG, r#"{"eventType": 1, "payload": {}}"#)
        .await
        .expect_faults(&["body.eventType"]);
    let hours = r#"{"eventType": "a", "payload": {}, "payloadRetentionHours": 0}"#;
    api.post(MSG, hours)
        .await
        .expect_faults(&["body.payloadRetentionHours"]);
    api.post(MSG, "[]").await.expect_faults(&["body"]);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_no_json_are_400() {
    let api = TestApi::new().await;
    api.acme().await;
    let deep = format!(
        r#"{{"eventType": "a", "payload": {}{}}}"#,
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    let nested = format!(
        r#"{{"eventType": "a", "payload": {}{}}}"#,
        "[".repeat(129),
        "]".repeat(129)
    );

    for body in [
        b"".as_slice(),
        b"{",
        b"{\"eventType\": \"a\", \"payload\": {}} trailing",
        b"{\"eventType\": \"a\", \"payload\": NaN}",
        b"{\"eventType\": \"a\", \"payload\": {\"x\": \"\0\"}}",
        b"{\"eventType\": \"a\", \"payload\": {\"x\": \"\xff\"}}",
        b"{\"eventType\": \"a\", \"eventType\": \"b\", \"payload\": {}}",
        b"{\"eventType\": \"a\", \"payload\": {}, \"payload\": {}}",
        b"{\"eventType\": \"a\", \"payload\": \"\\ud800\"}",
        b"\xef\xbb\xbf{\"eventType\": \"a\", \"payload\": {}}",
        nested.as_bytes(),
        &deep.as_bytes()[..1_000_000],
    ] {
        let reply = api.call(Method::POST, MSG, &[], body.to_vec()).await;
        reply.expect_problem(400, "malformed_json");
    }
    api.call(Method::POST, MSG, &[], deep)
        .await
        .expect_problem(413, "payload_too_large");
    let allowed = format!(
        r#"{{"eventType": "a", "payload": {}{}}}"#,
        "[".repeat(128),
        "]".repeat(128)
    );
    api.post(MSG, &allowed).await.expect(202);
}

/// E3: what is large in one way only is read in a time that its length explains, and refused
/// where JSON, or our envelope, does not allow it.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "it measures real time")]
async fn a_body_that_is_extreme_in_one_way_is_answered_at_once() {
    const MANY: usize = 900_000;
    // A build for debugging is some ten times slower.
    let limit = std::time::Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 50 });
    let api = TestApi::new().await;
    api.acme().await;
    let message = |payload: &str| format!(r#"{{"eventType": "a", "payload": {payload}}}"#);
    let keys = (0..70_000).map(|n| format!(r#""{n}":0"#));
    let keys = format!("{{{}}}", keys.collect::<Vec<_>>().join(","));
    let same = format!("{{{}}}", vec![r#""k":0"#; 100_000].join(","));
    let members = (0..70_000).map(|n| format!(r#""{n}":0"#));
    let members = members.collect::<Vec<_>>().join(",");

    for (body, status) in [
        (message(&keys), 202),
        (message(&same), 202),
        (message(&"9".repeat(MANY)), 202),
        (message(&format!("0.{}", "1".repeat(MANY))), 202),
        (message(&format!(r#"{{"{}":1}}"#, "k".repeat(MANY))), 202),
        (message(&format!("[{}]", "0,".repeat(MANY / 2))), 400),
        (message(&"[".repeat(MANY)), 400),
        (message(&r#"{"a":"#.repeat(MANY / 5)), 400),
        (
            message(&format!(r#""{}""#, r"\ud800".repeat(MANY / 6))),
            400,
        ),
        (message(&format!(r#""{}""#, r"\".repeat(MANY))), 202),
        (
            format!(r#"{{"eventType": "a", {members}, "payload": 1}}"#),
            202,
        ),
        (
            format!(r#"{{"eventType": "{}", "payload": 1}}"#, "a".repeat(MANY)),
            422,
        ),
        (format!("{}{{}}", " ".repeat(MANY)), 422),
    ] {
        let start: String = body.chars().take(60).collect();
        let began = std::time::Instant::now();
        let reply = api.post(MSG, &body).await;
        let took = began.elapsed();
        assert_eq!(reply.status, status, "{start}: {:?}", reply.bytes);
        assert!(took < limit, "{start}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn payloads_and_bodies_have_a_limit() {
    let api = TestApi::with_limits(Limits {
        payload_bytes: 100,
        body_bytes: 200,
        ..Limits::default()
    })
    .await;
    api.acme().await;
    let body = |bytes: usize| {
        let text = "x".repeat(bytes - 2);
        format!(r#"{{"eventType": "a", "payload": "{text}"}}"#)
    };

    api.post(MSG, &body(100)).await.expect(202);
    api.post(MSG, &body(101))
        .await
        .expect_problem(413, "payload_too_large");
    api.post(MSG, &" ".repeat(301))
        .await
        .expect_problem(413, "payload_too_large");
    let declared = [("content-length", "99999999")];
    let reply = api.call(Method::POST, MSG, &declared, "{}").await;
    reply.expect_problem(413, "payload_too_large");
}

#[tokio::test(start_paused = true)]
async fn an_endless_body_is_given_up_at_its_limit() {
    let api = TestApi::new().await;
    api.acme().await;
    let piece = bytes::Bytes::from(vec![b' '; 64 * 1024]);
    let endless = futures_util::stream::repeat(piece).map(Ok::<_, std::io::Error>);
    let body = axum::body::Body::from_stream(endless);

    let reply = api.call(Method::POST, MSG, &[], body).await;

    reply.expect_problem(413, "payload_too_large");
}

#[tokio::test(start_paused = true)]
async fn only_plain_json_bodies_are_read() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"eventType": "a", "payload": {}}"#;

    for encoding in ["gzip", "zstd", "gzip, gzip", "br"] {
        let headers = [("content-encoding", encoding)];
        let reply = api.call(Method::POST, MSG, &headers, body).await;
        reply.expect_problem(415, "unsupported_media_type");
    }
    let form = http::Request::post(MSG)
        .header(
            "authorization",
            format!("Bearer {}", super::harness::ADMIN_KEY),
        )
        .header("content-type", "text/plain")
        .body(body.into());
    let reply = api.send(form.unwrap()).await;
    reply.expect_problem(415, "unsupported_media_type");
}

#[tokio::test(start_paused = true)]
async fn an_event_id_is_used_once_per_application() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"eventType": "a", "payload": {}, "eventId": "e"}"#;
    let first = api.publish(body).await;

    let detail = api.post(MSG, body).await.expect_problem(409, "conflict");

    assert!(detail.as_str().unwrap().contains(&first), "{detail}");
    api.put("/api/v1/app/other", r#"{"name": "Other"}"#)
        .await
        .expect(201);
    api.post("/api/v1/app/other/msg", body).await.expect(202);
}

#[tokio::test(start_paused = true)]
async fn a_message_may_wait_a_minute_to_a_day() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let body = |at: &str| format!(r#"{{"eventType": "a", "payload": {{}}, "deliverAt": "{at}"}}"#);

    for at in [
        "2026-01-01T00:00:59Z",
        "2026-01-02T00:00:01Z",
        "2025-01-01T00:00:00Z",
    ] {
        api.post(MSG, &body(at))
            .await
            .expect_faults(&["body.deliverAt"]);
    }
    api.publish(&body("2026-01-01T00:01:00Z")).await;
    api.settle().await;
    assert_eq!(api.network.seen().len(), 0);
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    assert_eq!(api.network.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_publish_can_bring_its_application_along() {
    let api = TestApi::new().await;
    let body = |application: &str| {
        format!(r#"{{"eventType": "a", "payload": {{}}, "application": {application}}}"#)
    };

    api.post(MSG, r#"{"eventType": "a", "payload": {}}"#)
        .await
        .expect_problem(404, "not_found");
    let reply = api
        .post(MSG, &body(r#"{"name": "Acme", "uid": "other"}"#))
        .await;
    reply.expect_faults(&["body.application.uid"]);
    let reply = api.post(MSG, &body(r#"{"name": ""}"#)).await;
    reply.expect_faults(&["body.application.name"]);
    api.post(MSG, &body(r#"{"name": "Acme"}"#))
        .await
        .expect(202);

    assert_eq!(
        api.get("/api/v1/app/acme").await.expect(200)["name"],
        "Acme"
    );
    api.post(MSG, &body(r#"{"name": "Ignored"}"#))
        .await
        .expect(202);
    assert_eq!(
        api.get("/api/v1/app/acme").await.expect(200)["name"],
        "Acme"
    );
    let by_id = format!("/api/v1/app/app_{}/msg", "0".repeat(26));
    api.post(&by_id, &body(r#"{"name": "A"}"#))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_what_is_published_right_after_its_creation() {
    let api = TestApi::new().await;
    api.acme().await;
    api.publish(r#"{"eventType": "a", "payload": {}}"#).await;

    for count in 1..=20 {
        let body = r#"{"url": "https://example.com/"}"#;
        api.post("/api/v1/app/acme/endpoint", body)
            .await
            .expect(201);
        api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
        api.settle().await;
        assert_eq!(api.network.seen().len(), count * (count + 1) / 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_in_its_order() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let first = api
        .publish(r#"{"eventType": "a", "payload": 0, "eventId": "e"}"#)
        .await;
    let body = r#"{"messages": [
        {"eventType": "a", "payload": 1},
        {"eventType": "a", "payload": 2, "eventId": "e"},
        {"eventType": "a", "payload": 3, "eventId": "new"}
    ]}"#;

    let answer = api.post(&format!("{MSG}/batch"), body).await.expect(202);

    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), 3);
    let duplicates: Vec<_> = data
        .iter()
        .map(|item| item["duplicate"].as_bool().unwrap())
        .collect();
    assert_eq!(duplicates, [false, true, false]);
    assert_eq!(data[1]["id"], first.as_str());
    assert_eq!(
        api.get(&format!("{MSG}/new")).await.expect(200)["id"],
        data[2]["id"]
    );
    api.settle().await;
    assert_eq!(api.network.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_bad_item_refuses_a_whole_batch() {
    let api = TestApi::with_limits(Limits {
        payload_bytes: 10,
        batch_messages: 4,
        ..Limits::default()
    })
    .await;
    api.acme().await;
    let path = format!("{MSG}/batch");
    let body = r#"{"messages": [
        {"eventType": "a", "payload": 1},
        {"eventType": "a b", "payload": 2},
        {"eventType": "a", "payload": "more than ten"}
    ]}"#;

    let places = ["body.messages.1.eventType", "body.messages.2.payload"];
    api.post(&path, body).await.expect_faults(&places);

    let typed = r#"{"messages": [{"eventType": "a", "payload": 1}, {"eventType": 2}]}"#;
    api.post(&path, typed)
        .await
        .expect_faults(&["body.messages.1.eventType"]);
    let missing = r#"{"messages": [{"eventType": "a"}]}"#;
    api.post(&path, missing)
        .await
        .expect_faults(&["body.messages.0.payload"]);
    api.post(&path, r#"{"messages": []}"#)
        .await
        .expect_faults(&["body.messages"]);
    let many = format!(
        r#"{{"messages": [{}]}}"#,
        [r#"{"eventType": "a", "payload": 1}"#; 5].join(",")
    );
    api.post(&path, &many)
        .await
        .expect_faults(&["body.messages"]);
    let listed = api.get(MSG).await.expect(200);
    assert_eq!(listed["data"], json!([]), "nothing of it was stored");
}

#[tokio::test(start_paused = true)]
async fn an_ordering_key_is_any_short_text_and_reads_back() {
    let api = TestApi::new().await;
    api.acme().await;
    let body =
        |key: &str| format!(r#"{{"eventType": "a.b", "payload": {{}}, "orderingKey": "{key}"}}"#);

    let made = api.post(MSG, &body("page/42: é")).await.expect(202);

    assert_eq!(made["orderingKey"], "page/42: é");
    let id = made["id"].as_str().expect("an id").to_owned();
    let read = api.get(&format!("{MSG}/{id}")).await.expect(200);
    assert_eq!(read["orderingKey"], "page/42: é");
    for bad in ["", &"x".repeat(129), "a\\u0000"] {
        let refused = api.post(MSG, &body(bad)).await.expect(422);
        let loc = json!(["body", "orderingKey"]);
        assert_eq!(refused["detail"][0]["loc"], loc, "{bad:?}");
    }
}

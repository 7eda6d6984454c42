//! Streams of messages, as their readers see them.

use std::time::Duration;

use axum::body::Body;
use domain::Limits;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::harness::{ADMIN_KEY, TestApi};

const PATH: &str = "/api/v1/app/acme/stream";
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A stream that is read event by event.
struct Reader {
    body: Body,
    text: String,
}

/// One event: its name, id and data.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Reader {
    async fn open(api: &TestApi, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = Request::builder()
            .uri(format!("{PATH}{query}"))
            .header("authorization", format!("Bearer {ADMIN_KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = api.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next block of lines, a comment as well; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let frame = self.body.frame().await?.unwrap();
            let bytes = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn event(&mut self) -> Event {
        let block = self.block().await.expect("the stream goes on");
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        Event {
            name: field("event: "),
            id: field("id: "),
            data: serde_json::from_str(&field("data: ")).unwrap(),
        }
    }

    /// The bodies of the next messages.
    async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        while bodies.len() < count {
            let event = self.event().await;
            if event.name == "message" {
                bodies.push(event.data["body"].as_str().unwrap().to_owned());
            }
        }
        bodies
    }
}

impl TestApi {
    async fn say(&self, event_type: &str, payload: &str) -> String {
        let body = format!(r#"{{"eventType": "{event_type}", "payload": {payload}}}"#);
        let answer = self.post("/api/v1/app/acme/msg", &body).await.expect(202);
        answer["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_carries_what_is_published_byte_for_byte_and_signed() {
    let api = TestApi::new().await;
    api.acme().await;
    api.say("a.b", "{\"old\": 1}").await;
    let mut reader = Reader::open(&api, "", &[]).await;
    let open = reader.event().await;

    let id = api.say("a.b", "{\"n\":\n 1.0e1}").await;
    let event = reader.event().await;

    assert_eq!(open.name, "open");
    let secret = open.data["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!((event.name.as_str(), &event.id), ("message", &id));
    assert_eq!(event.data["id"], *id);
    assert_eq!(event.data["eventType"], "a.b");
    assert_eq!(event.data["body"], "{\"n\":\n 1.0e1}");
    let headers = &event.data["headers"];
    assert_eq!(headers["webhook-id"], *id);
    assert_eq!(headers["content-type"], "application/json");
    assert!(
        headers["webhook-signature"]
            .as_str()
            .unwrap()
            .starts_with("v1,")
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_the_readers_own_is_used_and_not_told_again() {
    let api = TestApi::new().await;
    api.acme().await;
    let headers = [("posthaste-stream-secret", SECRET)];
    let mut reader = Reader::open(&api, "", &headers).await;

    assert_eq!(reader.event().await.data, serde_json::json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_the_last_event_and_misses_nothing() {
    let api = TestApi::new().await;
    api.acme().await;
    let mut first = Reader::open(&api, "", &[]).await;
    first.event().await;
    api.say("a.b", "1").await;
    let seen = first.event().await;
    drop(first);
    for number in 2..=250 {
        api.say("a.b", &number.to_string()).await;
    }

    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut second = Reader::open(&api, "", &[("last-event-id", &seen.id)]).await;
    let bodies = second.bodies(250).await;

    // What lies within the second before comes again: here the last one that was seen.
    let wanted: Vec<String> = (1..=250).map(|number: u32| number.to_string()).collect();
    assert_eq!(bodies, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_begin_with_the_newest_messages() {
    let api = TestApi::new().await;
    api.acme().await;
    for number in 1..=5 {
        api.say("a.b", &number.to_string()).await;
    }

    let mut two = Reader::open(&api, "?replay_last=2", &[]).await;
    let mut all = Reader::open(&api, "?replay_last=300", &[]).await;

    assert_eq!(two.bodies(2).await, ["4", "5"]);
    assert_eq!(all.bodies(5).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_held_to_event_types() {
    let api = TestApi::new().await;
    api.acme().await;
    let mut reader = Reader::open(&api, "?types=order.**,a.b", &[]).await;

    for (event_type, payload) in [
        ("a.b", "1"),
        ("a.c", "2"),
        ("order.x.y", "3"),
        ("order", "4"),
    ] {
        api.say(event_type, payload).await;
    }
    api.say("a.b", "5").await;

    assert_eq!(reader.bodies(3).await, ["1", "3", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_behind_is_told() {
    let api = TestApi::new().await;
    api.acme().await;
    let mut reader = Reader::open(&api, "", &[]).await;
    reader.event().await;

    api.say("a.b", "1").await;
    api.say("a.b", "2").await;
    tokio::time::sleep(Duration::from_secs(30)).await;

    let behind = reader.event().await;
    assert_eq!(behind.name, "behind");
    assert!(behind.data["seconds"].as_u64().unwrap() >= 30, "{behind:?}");
    assert_eq!(reader.bodies(2).await, ["1", "2"], "and it is told once");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_gives_a_sign_of_life() {
    let api = TestApi::new().await;
    api.acme().await;
    let mut reader = Reader::open(&api, "", &[]).await;
    reader.event().await;

    assert_eq!(reader.block().await.unwrap(), ": still here");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_application_and_with_the_server() {
    let api = TestApi::new().await;
    api.acme().await;
    let mut reader = Reader::open(&api, "", &[]).await;
    reader.event().await;
    api.delete("/api/v1/app/acme").await.expect(204);
    let mut end = reader.block().await.unwrap();
    if end == ": still here" {
        end = reader.block().await.unwrap();
    }
    assert!(end.contains(r#"{"code":"not_found"}"#), "{end}");
    assert_eq!(reader.block().await, None);

    api.acme().await;
    let mut reader = Reader::open(&api, "", &[]).await;
    reader.event().await;
    api.service.begin_shutdown();
    let end = reader.event().await;
    assert_eq!(
        (end.name.as_str(), &end.data["code"]),
        ("end", &"shutting_down".into())
    );
    assert_eq!(reader.block().await, None);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_streams_are_open_at_once() {
    let limits = Limits {
        streams: 1,
        ..Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    let first = Reader::open(&api, "", &[]).await;

    let refused = api.get(PATH).await;
    drop(first);

    refused.expect_problem(409, "limit_reached");
    Reader::open(&api, "", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_cannot_be_told_is_named() {
    let api = TestApi::new().await;
    api.acme().await;
    let with = async |name: &str, value: &str| {
        let headers = [(name, value)];
        api.call(http::Method::GET, PATH, &headers, Body::empty())
            .await
    };

    let path = format!("{PATH}?types=a*&replay_last=1001");
    api.get(&path)
        .await
        .expect_faults(&["query.types", "query.replay_last"]);
    let place = "header.last-event-id";
    with("last-event-id", "msg_x").await.expect_faults(&[place]);
    let place = "header.posthaste-stream-secret";
    with("posthaste-stream-secret", "hunter2")
        .await
        .expect_faults(&[place]);
    api.get("/api/v1/app/nowhere/stream")
        .await
        .expect_problem(404, "not_found");
}

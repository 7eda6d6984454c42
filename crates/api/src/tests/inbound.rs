//! What providers send: verified, deduplicated, kept, and answered.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use super::harness::{Reply, TestApi};

pub(super) const SOURCES: &str = "/api/v1/app/acme/source";
pub(super) const REQUESTS: &str = "/api/v1/app/acme/request";
pub(super) const SECRET: &str = "It's a Secret to Everybody";

/// The path of an inbound URL.
pub(super) fn path(source: &Value) -> String {
    let url = source["url"].as_str().unwrap();
    url[url.find("/in/").unwrap()..].to_owned()
}

pub(super) fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let mut hex = String::new();
    for byte in tag.as_ref() {
        write!(hex, "{byte:02x}").unwrap();
    }
    format!("sha256={hex}")
}

impl TestApi {
    /// Creates a source of `acme`.
    pub(super) async fn source(&self, body: Value) -> Value {
        self.post(SOURCES, &body.to_string()).await.expect(201)
    }

    /// Creates a source for GitHub.
    pub(super) async fn github(&self) -> Value {
        let body =
            json!({"name": "GitHub", "uid": "gh", "provider": "github", "secrets": [SECRET]});
        self.source(body).await
    }

    /// Posts to an inbound URL, as nobody in particular.
    pub(super) async fn deliver(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Posts what GitHub would.
    pub(super) async fn push(&self, path: &str, id: &str, body: &str) -> Reply {
        let signature = signature(SECRET, body);
        let headers = [
            ("x-hub-signature-256", signature.as_str()),
            ("x-github-delivery", id),
            ("x-github-event", "push"),
            ("content-type", "application/json"),
        ];
        self.deliver(path, &headers, body.to_owned()).await
    }

    /// Lists requests, once everything that was refused is kept.
    pub(super) async fn requests(&self, query: &str) -> Vec<Value> {
        self.service.rejections_settled().await;
        let list = self.get(&format!("{REQUESTS}?{query}")).await.expect(200);
        list["data"].as_array().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_verified_request_becomes_a_message_for_the_endpoints() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let source = api.github().await;
    let body = r#"{"ref": "refs/heads/main"}"#;

    let answer = api
        .push(&path(&source), "delivery-1", body)
        .await
        .expect(200);
    api.settle().await;

    let message = format!("/api/v1/app/acme/msg/{}", answer["id"].as_str().unwrap());
    let message = api.get(&message).await.expect(200);
    assert_eq!(message["eventType"], "push");
    assert_eq!(message["payload"], json!({"ref": "refs/heads/main"}));
    let sent = api.network.seen();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].body, body);
    assert_eq!(
        sent[0].headers["webhook-id"],
        answer["id"].as_str().unwrap()
    );
    let [request] = &api.requests("verdict=accepted").await[..] else {
        panic!("one request is kept");
    };
    assert_eq!(request["messageId"], answer["id"]);
    assert_eq!(request["sourceId"], source["id"]);
    assert_eq!(request["providerId"], "delivery-1");
    assert_eq!(request["path"], "/in/***");
}

#[tokio::test]
async fn a_repeat_is_answered_like_the_first_and_causes_nothing() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);

    let first = api.push(&path, "one", "{}").await;
    let again = api.push(&path, "one", "{}").await;
    let other = api.push(&path, "two", r#"{"n": 2}"#).await;

    assert!(!first.headers.contains_key("posthaste-duplicate"));
    assert_eq!(again.headers["posthaste-duplicate"], "true");
    let (first, again, other) = (first.expect(200), again.expect(200), other.expect(200));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let messages = api.get("/api/v1/app/acme/msg").await.expect(200);
    assert_eq!(messages["data"].as_array().unwrap().len(), 2);
    let [duplicate] = &api.requests("verdict=duplicate").await[..] else {
        panic!("the repeat is kept");
    };
    assert_eq!(duplicate["messageId"], first["id"]);
    let accepted = api.requests("verdict=accepted&provider_id=one").await;
    assert_eq!(duplicate["duplicateOf"], accepted[0]["id"]);
    assert_eq!(duplicate["bodyDiffers"], Value::Null);
}

#[tokio::test]
async fn a_forgery_is_refused_and_kept_with_its_diagnosis() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);
    let forged = signature("another secret", "{}");
    let headers = [("x-hub-signature-256", forged.as_str())];

    let refused = api.deliver(&path, &headers, "{}").await;

    refused.expect_problem(401, "verification_failed");
    let [request] = &api.requests("verdict=rejected").await[..] else {
        panic!("the forgery is kept");
    };
    assert_eq!(request["reason"], "signature_mismatch");
    assert!(
        request["diagnosis"]
            .as_str()
            .unwrap()
            .contains("another secret")
    );
    assert_eq!(request["messageId"], Value::Null);
    let messages = api.get("/api/v1/app/acme/msg").await.expect(200);
    assert_eq!(messages["data"], json!([]));
}

#[tokio::test]
async fn an_unknown_url_is_404_and_a_paused_source_503() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);

    let unknown = api
        .push("/in/00000000000000000000000000000000", "x", "{}")
        .await;
    api.post(&format!("{SOURCES}/gh/pause"), "")
        .await
        .expect(200);
    let paused = api.push(&path, "x", "{}").await;
    api.post(&format!("{SOURCES}/gh/resume"), "")
        .await
        .expect(200);
    let resumed = api.push(&path, "x", "{}").await;

    unknown.expect_problem(404, "not_found");
    assert_eq!(paused.headers["retry-after"], "60");
    paused.expect_problem(503, "source_paused");
    resumed.expect(200);
}

#[tokio::test]
async fn a_source_without_a_secret_must_say_that_it_verifies_nothing() {
    let api = TestApi::new().await;
    api.acme().await;
    let plain = json!({"name": "x", "provider": "github"});
    let none = json!({"name": "x", "provider": "github", "verify": "none"});

    api.post(SOURCES, &plain.to_string())
        .await
        .expect_faults(&["body.secrets"]);
    let source = api.source(none).await;
    let taken = api.deliver(&path(&source), &[], "hello").await;

    taken.expect(200);
    let requests = api.requests("").await;
    assert_eq!(requests[0]["unverified"], true);
    let id = requests[0]["id"].as_str().unwrap();
    let request = api.get(&format!("{REQUESTS}/{id}")).await.expect(200);
    assert_eq!(request["body"], "hello");
    assert_eq!(
        api.get(&format!("{REQUESTS}/{id}/raw")).await.bytes,
        "hello"
    );
}

#[tokio::test]
async fn a_body_that_was_erased_is_not_found() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);
    api.push(&path, "d-1", "{}").await.expect(200);
    let request = &api.requests("").await[0];
    let message = request["messageId"].as_str().unwrap();
    let content = format!("/api/v1/app/acme/msg/{message}/content");
    api.delete(&content).await.expect(204);

    let id = request["id"].as_str().unwrap();
    let raw = api.get(&format!("{REQUESTS}/{id}/raw")).await;

    raw.expect_problem(404, "not_found");
}

/// A source that verifies nothing and splits arrays.
async fn splitting(api: &TestApi) -> String {
    let body = json!({"name": "x", "provider": "sendgrid", "verify": "none"});
    path(&api.source(body).await)
}

#[tokio::test]
async fn an_array_of_messages_is_stored_as_many_and_deduplicated_one_by_one() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = splitting(&api).await;
    let first = r#"[{"sg_event_id": "a", "event": "open"}, {"sg_event_id": "b"}]"#;
    let second = r#"[{"sg_event_id": "b"}, {"sg_event_id": "c"}, {"sg_event_id": "c"}]"#;

    api.deliver(&path, &[], first).await.expect(200);
    api.deliver(&path, &[], second).await.expect(200);

    let messages = api.get("/api/v1/app/acme/msg").await.expect(200);
    let messages = messages["data"].as_array().unwrap();
    let ids: Vec<_> = messages
        .iter()
        .map(|one| &one["payload"]["sg_event_id"])
        .collect();
    assert_eq!(ids, ["c", "b", "a"]);
    assert_eq!(messages[2]["eventType"], "open");
    let requests = api.requests("verdict=accepted").await;
    let made: Vec<_> = requests.iter().map(|one| &one["messages"]).collect();
    assert_eq!(made, [1, 2]);
}

/// Sends an array twice, to a source that deduplicates by `key`, and counts the messages.
async fn messages_of_an_array(provider: &str, content_type: &str, key: &str) -> usize {
    let api = TestApi::new().await;
    api.acme().await;
    let body = json!({
        "name": "x", "provider": provider, "verify": "none", "deduplication": {"keys": [key]},
    });
    let path = path(&api.source(body).await);
    let item = |id| json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t"});
    let both = json!([item("1"), item("2")]).to_string();

    for _ in 0..2 {
        let headers = [("content-type", content_type), ("x-id", "a")];
        let answer = api.deliver(&path, &headers, both.clone()).await;
        answer.expect(200);
    }

    assert_eq!(api.requests("verdict=duplicate").await.len(), 1);
    let messages = api.get("/api/v1/app/acme/msg").await.expect(200);
    messages["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn items_of_one_request_are_all_taken_whatever_they_are_deduplicated_by() {
    let events = "application/cloudevents-batch+json";
    for key in ["header:X-Id", "body", "json:id"] {
        let array = messages_of_an_array("sendgrid", "application/json", key).await;
        assert_eq!(array, 2, "by {key}");
        let batch = messages_of_an_array("cloudevents", events, key).await;
        assert_eq!(batch, 2, "events by {key}");
    }
}

#[tokio::test]
async fn an_array_of_too_many_items_is_one_message() {
    let limits = domain::Limits {
        inbound_messages: 2,
        ..domain::Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    let path = splitting(&api).await;

    for body in ["[{}, {}]", "[{}, {}, {}]"] {
        api.deliver(&path, &[], body).await.expect(200);
    }

    let requests = api.requests("").await;
    let made: Vec<_> = requests.iter().map(|one| &one["messages"]).collect();
    assert_eq!(made, [1, 2]);
}

#[tokio::test]
async fn only_the_beginning_of_a_refused_body_is_kept() {
    let limits = domain::Limits {
        rejected_bytes: 4,
        ..domain::Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    let path = path(&api.github().await);

    for body in ["1234", "12345"] {
        api.deliver(&path, &[], body)
            .await
            .expect_problem(401, "verification_failed");
    }

    let kept = api.requests("order=ascending").await;
    for (request, (truncated, bytes)) in kept.iter().zip([(Value::Null, 4), (json!(true), 5)]) {
        assert_eq!(request["bodyTruncated"], truncated);
        assert_eq!(request["bodyBytes"], bytes);
        let id = request["id"].as_str().unwrap();
        assert_eq!(api.get(&format!("{REQUESTS}/{id}/raw")).await.bytes, "1234");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_are_answered_later_while_more_come_than_are_kept() {
    let limits = domain::Limits {
        rejected_per_second: 1,
        rejected_burst: 2,
        refusal_delay: Duration::from_millis(250),
        ..domain::Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    let path = path(&api.github().await);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let began = tokio::time::Instant::now();
        api.deliver(&path, &[], "{}").await.expect(401);
        waits.push(began.elapsed() >= Duration::from_millis(250));
    }
    let began = tokio::time::Instant::now();
    api.push(&path, "d-1", "{}").await.expect(200);

    assert_eq!(waits, [false, false, true]);
    assert!(
        began.elapsed() < Duration::from_millis(250),
        "what is genuine does not wait"
    );
}

#[tokio::test(start_paused = true)]
async fn only_so_many_refused_requests_are_kept() {
    let limits = domain::Limits {
        rejected_per_second: 2,
        rejected_burst: 3,
        refusal_delay: Duration::ZERO,
        ..domain::Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    let path = path(&api.github().await);

    for _ in 0..10 {
        api.deliver(&path, &[], "{}").await;
    }
    let at_once = api.requests("").await.len();
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..10 {
        api.deliver(&path, &[], "{}").await;
    }

    assert_eq!(at_once, 3);
    assert_eq!(api.requests("").await.len(), 5);
    let source = api.get(&format!("{SOURCES}/gh")).await.expect(200);
    assert_eq!(source["activity"]["rejected"], 20);
    assert_eq!(source["activity"]["notKept"], 15);
}

#[tokio::test]
async fn a_source_says_whether_it_has_these_secrets_and_shows_none() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = json!({
        "name": "x", "uid": "x", "provider": "github", "secrets": ["one", "two"],
        "verifyToken": "token",
    });
    api.source(body).await;
    let compare = format!("{SOURCES}/x/secret/compare");

    for (given, secrets, token) in [
        (
            json!({"secrets": ["two", "one"], "verifyToken": "token"}),
            true,
            true,
        ),
        (
            json!({"secrets": ["one"], "verifyToken": "other"}),
            false,
            false,
        ),
        (json!({"secrets": ["one", "two", "three"]}), false, false),
        (json!({"secrets": []}), false, false),
    ] {
        let said = api.post(&compare, &given.to_string()).await.expect(200);
        assert_eq!(
            said,
            json!({"secrets": secrets, "verifyToken": token}),
            "{given}"
        );
    }
    // The others still count for a day, and are not current any more.
    let rotate = format!("{SOURCES}/x/secret/rotate");
    api.post(&rotate, r#"{"secret": "new"}"#).await.expect(200);
    let said = api
        .post(&compare, r#"{"secrets": ["new"]}"#)
        .await
        .expect(200);
    assert_eq!(said["secrets"], true);
}

/// Adyen signs in the body, and names an event by several fields.
#[tokio::test(start_paused = true)]
async fn a_payment_is_known_by_its_reference_and_what_became_of_it() {
    const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let api = TestApi::new().await;
    api.acme().await;
    let source = json!({"name": "Adyen", "provider": "adyen-payments", "secrets": [KEY]});
    let path = path(&api.source(source).await);
    let scheme = &signature::scheme::preset("adyen-payments").unwrap().scheme;
    let key = signature::scheme::SchemeSigningKey::shared(scheme, KEY).unwrap();
    let signed = |event: &str, reason: &str| {
        let item = json!({
            "pspReference": "psp1", "eventCode": event, "success": "true", "reason": reason,
            "amount": {"value": 1130, "currency": "EUR"},
        });
        let body = json!({"notificationItems": [{"NotificationRequestItem": item}]}).to_string();
        let unsigned = signature::scheme::Unsigned {
            method: "POST",
            url: None,
            headers: &[],
            body: body.as_bytes(),
            id: "",
            at: api.service.received_at(),
        };
        String::from_utf8(scheme.sign(&key, &unsigned).unwrap().body).unwrap()
    };
    let headers = [("content-type", "application/json")];

    let first = api
        .deliver(&path, &headers, signed("AUTHORISATION", ""))
        .await;
    let again = api
        .deliver(&path, &headers, signed("AUTHORISATION", "late"))
        .await;
    let next = api.deliver(&path, &headers, signed("CAPTURE", "")).await;
    let forged = signed("REFUND", "").replace("1130", "1131");
    let forged = api.deliver(&path, &headers, forged).await;

    assert_eq!(first.bytes, "[accepted]");
    for (reply, status) in [(&first, 200), (&again, 200), (&next, 200), (&forged, 401)] {
        assert_eq!(reply.status, status);
    }
    assert_eq!(again.headers["posthaste-duplicate"], "true");
    assert!(!next.headers.contains_key("posthaste-duplicate"));
    assert_eq!(api.requests("verdict=accepted").await.len(), 2);
}

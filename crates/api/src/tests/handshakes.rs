//! Questions of providers and events of CloudEvents, through the inbound URL.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::harness::{Reply, TestApi};
use super::inbound::{SOURCES, path};

impl TestApi {
    /// Asks an inbound URL something, as nobody in particular.
    async fn ask(&self, method: Method, uri: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Body::from(body.to_owned());
        self.send(request.body(body).unwrap()).await
    }
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.bytes).into_owned()
}

const SECRET: &str = "a secret of twenty-four b";

#[tokio::test(start_paused = true)]
async fn a_challenge_is_answered_kept_and_never_a_message() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let source = json!({"name": "Slack", "provider": "slack", "secrets": [SECRET]});
    let source = api.source(source).await;
    let body = r#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV"}"#;

    let answer = api.ask(Method::POST, &path(&source), &[], body).await;
    api.settle().await;

    assert_eq!(
        (answer.status.as_u16(), text(&answer).as_str()),
        (200, "3eZbrw1aBm2rZgRNFdxV")
    );
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let kept = api.requests("verdict=handshake").await;
    assert_eq!((kept.len(), &kept[0]["reason"]), (1, &json!("challenge")));
    assert!(kept[0].get("messageId").is_none());
    assert!(api.network.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_verify_token_is_compared_and_never_shown() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let source = json!({
        "name": "Meta", "provider": "meta", "secrets": [SECRET], "verifyToken": "s3same",
    });
    let source = api.source(source).await;
    let question = |token: &str| {
        let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
        format!("{}?{query}", path(&source))
    };

    let good = api.ask(Method::GET, &question("s3same"), &[], "").await;
    let bad = api.ask(Method::GET, &question("other"), &[], "").await;

    assert_eq!(
        (good.status.as_u16(), text(&good).as_str()),
        (200, "1158201444")
    );
    bad.expect_problem(403, "handshake_refused");
    assert_eq!(source["hasVerifyToken"], true);
    assert!(!source.to_string().contains("s3same"));
    // What is changed later leaves it as it is.
    let one = format!("{SOURCES}/{}", source["id"].as_str().unwrap());
    api.patch(&one, r#"{"name":"WhatsApp"}"#).await.expect(200);
    let again = api.ask(Method::GET, &question("s3same"), &[], "").await;
    assert_eq!(again.status.as_u16(), 200);
    let refused = api.requests("verdict=rejected").await;
    assert_eq!(
        refused[0]["diagnosis"],
        "the verify token is not the one of the source"
    );
}

/// The oracle: questions whose answers would be signatures of requests.
#[tokio::test(start_paused = true)]
async fn nobody_gets_a_text_of_their_choice_signed() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let zoom = json!({"name": "Zoom", "provider": "zoom", "secrets": [SECRET]});
    let zoom = api.source(zoom).await;
    let x = json!({"name": "X", "provider": "x", "secrets": [SECRET]});
    let x = api.source(x).await;
    let forged = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1:{}"}}"#;
    let unsigned = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}"#;
    let body = format!("{}?crc_token=%7B%22a%22%3A1%7D", path(&x));

    let zoom = path(&zoom);
    api.ask(Method::POST, &zoom, &[], forged)
        .await
        .expect_problem(400, "malformed_request");
    api.ask(Method::POST, &zoom, &[], unsigned)
        .await
        .expect_problem(401, "verification_failed");
    api.ask(Method::GET, &body, &[], "")
        .await
        .expect_problem(400, "malformed_request");

    let good = format!("{}?crc_token=abc", path(&x));
    let good = api.ask(Method::GET, &good, &[], "").await.expect(200);
    assert!(
        good["response_token"]
            .as_str()
            .unwrap()
            .starts_with("sha256=")
    );
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_at_a_rate() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let x = json!({"name": "X", "provider": "x", "secrets": [SECRET]});
    let x = api.source(x).await;
    let question = format!("{}?crc_token=abc", path(&x));
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let answer = api.ask(Method::GET, &question, &[], "").await;
        statuses.push(answer.status.as_u16());
    }

    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 30);
    assert_eq!(statuses.last(), Some(&429));
}

#[tokio::test(start_paused = true)]
async fn a_provider_brings_its_secret_once_while_it_is_awaited() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let source = json!({"name": "Asana", "provider": "asana", "secrets": []});
    let source = api.source(source).await;
    assert_eq!(source["state"], "awaiting_handshake");
    let hook = path(&source);
    let secret = |text| [("x-hook-secret", text)];

    let first = api
        .ask(Method::POST, &hook, &secret("b537207f20cbfa02"), "")
        .await;
    let second = api
        .ask(Method::POST, &hook, &secret("planted-by-another"), "")
        .await;

    assert_eq!(first.status.as_u16(), 200);
    assert_eq!(first.headers["x-hook-secret"], "b537207f20cbfa02");
    assert!(second.headers.get("x-hook-secret").is_none());
    second.expect_problem(403, "handshake_refused");
    let one = format!("{SOURCES}/{}", source["id"].as_str().unwrap());
    let source = api.get(&one).await.expect(200);
    assert_eq!(
        (
            &source["state"],
            source["secrets"].as_array().unwrap().len()
        ),
        (&json!("live"), 1)
    );
    let audited = api
        .get("/api/v1/audit?action=source.handshake_secret")
        .await;
    assert!(
        text(&audited).contains("source.handshake_secret"),
        "{}",
        text(&audited)
    );
    let kept = api.requests("").await;
    assert!(
        !format!("{kept:?}").contains("b537207f20cbfa02"),
        "{kept:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_brings_a_secret_after_a_quarter_of_an_hour() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let source = json!({"name": "Notion", "provider": "notion", "secrets": []});
    let source = api.source(source).await;
    let token = r#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#;
    tokio::time::advance(std::time::Duration::from_mins(15)).await;

    let late = api.ask(Method::POST, &path(&source), &[], token).await;
    late.expect_problem(403, "handshake_refused");
    // A change of anything makes it wait once more.
    let one = format!("{SOURCES}/{}", source["id"].as_str().unwrap());
    api.patch(&one, r#"{"name":"Pages"}"#).await.expect(200);
    let again = api.ask(Method::POST, &path(&source), &[], token).await;
    assert_eq!(again.status.as_u16(), 200);
    let kept = api.requests("").await;
    assert!(!format!("{kept:?}").contains("tMrlL1qK5"), "{kept:?}");
}

const TOKEN: [(&str, &str); 1] = [("authorization", "Bearer a secret of twenty-four b")];

async fn events(api: &TestApi) -> String {
    api.acme_with_hook().await;
    let source = json!({"name": "Events", "provider": "cloudevents", "secrets": [SECRET]});
    path(&api.source(source).await)
}

fn with(content_type: &'static str) -> Vec<(&'static str, &'static str)> {
    [TOKEN.as_slice(), &[("content-type", content_type)]].concat()
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_events_is_a_message_each_and_a_repeat_none() {
    let api = TestApi::new().await;
    let hook = events(&api).await;
    let event = |id: &str, kind: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"{kind}","data":1}}"#)
    };
    let batch = format!(
        "[{}, {}]",
        event("1", "order.paid"),
        event("2", "order.sent")
    );
    let headers = with("application/cloudevents-batch+json");

    let first = api.ask(Method::POST, &hook, &headers, &batch).await;
    let again = api.ask(Method::POST, &hook, &headers, &batch).await;
    let single = event("1", "order.paid");
    let headers = with("application/cloudevents+json");
    let structured = api.ask(Method::POST, &hook, &headers, &single).await;
    api.settle().await;

    assert_eq!(first.status.as_u16(), 200, "{}", text(&first));
    for repeat in [again, structured] {
        assert_eq!(repeat.headers["posthaste-duplicate"], "true");
    }
    let sent = api.network.seen();
    let mut bodies: Vec<_> = sent.iter().map(|sent| sent.body.clone()).collect();
    bodies.sort();
    assert_eq!(bodies, [event("1", "order.paid"), event("2", "order.sent")]);
}

#[tokio::test(start_paused = true)]
async fn a_binary_event_has_the_type_that_its_header_says() {
    let api = TestApi::new().await;
    let hook = format!(
        "{}?access_token=a+secret+of+twenty-four+b",
        events(&api).await
    );
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "com.example.order.paid"),
        ("content-type", "application/json"),
    ];

    let answer = api
        .ask(Method::POST, &hook, &headers, r#"{"total":1}"#)
        .await
        .expect(200);

    let message = format!("/api/v1/app/acme/msg/{}", answer["id"].as_str().unwrap());
    let message = api.get(&message).await.expect(200);
    assert_eq!(message["eventType"], "com.example.order.paid");
    assert_eq!(message["payload"], json!({"total": 1}));
    let kept = api.requests("").await;
    assert!(!format!("{kept:?}").contains("twenty-four"), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_refused_by_its_type_or_its_content() {
    let api = TestApi::new().await;
    let hook = events(&api).await;
    let post = async |headers: &[(&str, &str)], body: &str| {
        api.ask(Method::POST, &hook, headers, body).await
    };

    let json = post(&with("application/json"), "{}").await;
    json.expect_problem(415, "unsupported_media_type");
    let bad = post(&with("application/cloudevents+json"), "{}").await;
    bad.expect_problem(400, "malformed_request");
    post(&[], "{}")
        .await
        .expect_problem(401, "verification_failed");
    let empty = post(&with("application/cloudevents-batch+json"), "[]").await;
    assert_eq!(empty.status.as_u16(), 204);
    let asked = [
        ("webhook-request-origin", "sender.example"),
        ("webhook-request-rate", "60"),
    ];
    let asked = api.ask(Method::OPTIONS, &hook, &asked, "").await;
    assert_eq!(asked.status.as_u16(), 200);
    assert_eq!(asked.headers["webhook-allowed-origin"], "sender.example");
    assert_eq!(asked.headers["webhook-allowed-rate"], "60");
}

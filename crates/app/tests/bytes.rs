//! What is delivered is what was accepted, byte for byte, and stays it over every retry.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::time::Duration;

use cli::sink::{SinkOptions, Verdict};
use serde_json::json;
use signature::{Verifier, VerifyingKey};
use testkit::{Launch, Receiver, TestServer};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PATIENCE: Duration = Duration::from_secs(20);

/// Payloads that would not survive being parsed and written again.
const ODD: &[&str] = &[
    "{}",
    "[]",
    "0",
    "-0.0",
    "1E400",
    "9007199254740993",
    "123456789012345678901234567890.1234567890123456789000",
    "true",
    "null",
    r#""""#,
    r#""\u0000\b\f\n\r\t\/\\\"""#,
    r#"{"b":1,"a":2.0,"u":"\u00e9","n":9007199254740993,"a":3}"#,
    r#"{"z":1,"a":{"z":1,"a":1},"z":[],"":null}"#,
    r#"{"café":"日本語 🚀","escaped":"\ud83d\ude80","upper":"\u00E9"}"#,
    "{\"separators\":\"\u{2028}\u{2029}\u{feff}\",\"del\":\"\u{7f}\"}",
    "{ \"inner\" :\t[ 1 ,\r\n2 ]\n , \"white\" : \" space \" }",
    "[ ]",
    r#"{"eventType":"other","payload":{"payload":1},"messages":[]}"#,
    r#"{"html":"<script>&amp;</script>","quote":"\u0022"}"#,
];

/// What is no JSON, or is no text; the last is half of a character.
const NO_JSON: &[&str] = &[
    "",
    "{",
    "{}}",
    "[1,]",
    "NaN",
    "'a'",
    "01",
    "\"\n\"",
    r#"{"a" 1}"#,
    r#"["\ud83d"]"#,
];

/// A server whose endpoint `/all` wants everything; the receiver verifies what arrives.
async fn shop(path: &str, schedule: &str) -> (TestServer, Receiver) {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let server = launch.retries(schedule).start().await;
    let receiver = Receiver::with(SinkOptions {
        verifier: Some(Verifier::new([VerifyingKey::parse(SECRET).unwrap()])),
        ..SinkOptions::default()
    })
    .await;
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url(path), "secret": SECRET});
    server.api.create_endpoint("shop", &endpoint).await;
    (server, receiver)
}

/// The odd ones, and some that are only long or deep.
fn payloads() -> Vec<String> {
    let mut payloads: Vec<String> = ODD.iter().map(|text| (*text).to_owned()).collect();
    payloads.push(format!("{}1{}", "[".repeat(100), "]".repeat(100)));
    payloads.push(format!(r#"{{"digits":{}}}"#, "9".repeat(50_000)));
    payloads.push(format!(r#"{{"long":"{}"}}"#, "é".repeat(450_000)));
    payloads
}

async fn arrive_as_they_are(server: &TestServer, receiver: &Receiver, sent: &[(String, String)]) {
    let received = receiver.wait_for("/all", sent.len(), PATIENCE).await;
    assert_eq!(received.len(), sent.len(), "nothing arrives twice");
    for (id, payload) in sent {
        let shown: String = payload.chars().take(60).collect();
        let of_message = |id: &str| {
            received
                .iter()
                .find(|request| request.header("webhook-id") == Some(id))
        };
        let request = of_message(id).unwrap_or_else(|| panic!("{shown} did not arrive"));
        assert_eq!(request.verdict, Verdict::Verified, "{shown}");
        assert!(request.body == payload.as_bytes(), "{shown} was changed");
        assert_eq!(request.header("content-type"), Some("application/json"));

        let raw = server
            .api
            .get(&format!("/api/v1/app/shop/msg/{id}/raw"))
            .await;
        assert!(raw.body == payload.as_bytes(), "{shown} is kept otherwise");
    }
}

#[tokio::test]
async fn a_payload_arrives_byte_for_byte_whatever_its_json() {
    let (server, receiver) = shop("/all", "0s").await;
    let mut sent = Vec::new();

    for payload in payloads() {
        // The white space around the value belongs to the request, not to the payload.
        let id = server
            .api
            .publish("shop", &format!(" \n{payload}\t "))
            .await;
        sent.push((id, payload));
    }

    arrive_as_they_are(&server, &receiver, &sent).await;
}

#[tokio::test]
async fn payloads_of_a_batch_arrive_byte_for_byte_too() {
    let (server, receiver) = shop("/all", "0s").await;

    let payloads = payloads();
    let ids = server.api.publish_batch("shop", &payloads).await;

    let sent: Vec<_> = ids.into_iter().zip(payloads).collect();
    arrive_as_they_are(&server, &receiver, &sent).await;
}

#[tokio::test]
async fn a_payload_that_is_no_json_is_refused_and_nothing_arrives() {
    let (server, receiver) = shop("/all", "0s").await;

    for payload in NO_JSON {
        let refused = server.api.try_publish("shop", payload).await;
        let refused = refused.expect_err(payload);
        assert!(refused.starts_with("400"), "{payload}: {refused}");
    }
    let mut no_text = br#"{"eventType":"a.b","payload":""#.to_vec();
    no_text.extend(b"\xff\"}");
    let answer = server.api.post("/api/v1/app/shop/msg", no_text).await;
    answer.expect(400);

    // One that is published now would arrive after the others.
    server.api.publish("shop", "{}").await;
    assert_eq!(receiver.wait_for("/all", 1, PATIENCE).await.len(), 1);
}

#[tokio::test]
async fn retries_carry_the_same_id_and_body_with_a_fresh_time_and_signature() {
    let (server, receiver) = shop("/fail/2", "0s,1s,1s").await;
    let payload = ODD[11];

    let id = server.api.publish("shop", payload).await;
    let attempts = receiver.wait_for("/fail/2", 3, PATIENCE).await;

    for attempt in &attempts {
        assert_eq!(attempt.header("webhook-id"), Some(id.as_str()));
        assert_eq!(attempt.body, payload);
        assert_eq!(attempt.verdict, Verdict::Verified);
        let signed = seconds(attempt.header("webhook-timestamp").unwrap());
        // Signed in whole seconds, when it was sent: one may have passed on the way.
        let late = attempt.at.as_unix_seconds() - signed;
        assert!((0..=2).contains(&late), "signed {late} s before it came");
    }
    let times: Vec<i64> = attempts
        .iter()
        .map(|attempt| seconds(attempt.header("webhook-timestamp").unwrap()))
        .collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?} do not rise");
    let mut signatures: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt.header("webhook-signature").unwrap())
        .collect();
    signatures.dedup();
    assert_eq!(signatures.len(), 3, "a signature was used again");
}

fn seconds(text: &str) -> i64 {
    text.parse().expect("seconds since 1970")
}

#[tokio::test]
async fn a_raw_payload_arrives_as_it_is_under_its_own_content_type() {
    let (server, receiver) = shop("/all", "0s").await;
    let csv = "id,name\r\n1,\"Ann \"\"A\"\" Lee\"\r\n2,Zoë\u{0}\t ";

    let body = json!({
        "eventType": "report.made",
        "payload": {},
        "transformationsParams": {
            "rawPayload": csv,
            "headers": {"content-type": "text/csv; charset=utf-8"},
        },
    });
    let path = "/api/v1/app/shop/msg";
    let answer = server.api.post(path, body.to_string()).await.expect(202);

    let arrived = receiver.wait_for("/all", 1, PATIENCE).await.remove(0);
    assert_eq!(arrived.body, csv);
    assert_eq!(arrived.verdict, Verdict::Verified);
    let content_type = arrived.header("content-type");
    assert_eq!(content_type, Some("text/csv; charset=utf-8"));
    let raw = format!("{path}/{}/raw", answer["id"].as_str().unwrap());
    assert_eq!(server.api.get(&raw).await.body, csv);
}

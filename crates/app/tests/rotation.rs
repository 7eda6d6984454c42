//! Changing the master key while messages go out (F14).
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cli::sink::Received;
use serde_json::json;
use signature::{Verifier, VerifyingKey};
use testkit::{Endpoint, Launch, Receiver, TestServer, eventually};

const PATIENCE: Duration = Duration::from_mins(1);
const TOLERANCE: Duration = Duration::from_mins(5);

/// How many secrets are sealed anew; some thousand with `POSTHASTE_TEST_SECRETS=5000`.
fn secrets() -> usize {
    #[allow(
        clippy::disallowed_methods,
        reason = "how long the long form is, no setting"
    )]
    let given = std::env::var("POSTHASTE_TEST_SECRETS").ok();
    given.map_or(250, |count| count.parse().unwrap())
}

fn key(byte: u8) -> String {
    format!("phk_{}", STANDARD.encode([byte; 32]))
}

fn launch(data: &Path, current: u8, earlier: &[u8]) -> Launch {
    let earlier: Vec<String> = earlier.iter().map(|byte| key(*byte)).collect();
    Launch::new(env!("CARGO_BIN_EXE_posthaste"))
        .data(data)
        .set("SECRETS__MASTER_KEY", &key(current))
        .set("SECRETS__EARLIER_KEYS", &earlier.join(","))
}

/// Publishes to every endpoint and checks each signature with the secret that was shown when the
/// endpoint was made.
async fn deliver(server: &TestServer, receiver: &Receiver, endpoints: &[Endpoint], times: usize) {
    let before = receiver.received().len();
    for _ in 0..times {
        server.api.publish("shop", "{}").await;
    }
    let all = before + times * endpoints.len();
    eventually("every delivery", PATIENCE, async || {
        receiver.received().len() >= all
    })
    .await;
    let received = receiver.received();
    assert_eq!(received.len(), all);
    for request in &received[before..] {
        let index: usize = request
            .uri
            .path()
            .trim_start_matches("/to/")
            .parse()
            .unwrap();
        verify(request, &endpoints[index].secret);
    }
}

fn verify(request: &Received, secret: &str) {
    let verifier = Verifier::new([VerifyingKey::parse(secret).unwrap()]);
    let header = |name| request.header(name);
    let signatures: Vec<&str> = header("webhook-signature").into_iter().collect();
    let received = signature::Received {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signatures: &signatures,
        body: &request.body,
    };
    let verdict = verifier.verify(&received, request.at, TOLERANCE);
    assert!(verdict.is_ok(), "{}: {verdict:?}", request.uri);
}

#[tokio::test]
async fn every_signature_is_right_while_the_master_key_changes_and_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut server = launch(folder.path(), 1, &[]).start().await;
    server.api.create_application("shop").await;
    let mut endpoints = Vec::new();
    for index in 0..secrets() {
        let to = json!({"url": receiver.url(&format!("/to/{index}"))});
        endpoints.push(server.api.create_endpoint("shop", &to).await);
    }
    server.terminate(PATIENCE).await;

    let mut server = launch(folder.path(), 2, &[1]).start().await;
    deliver(&server, &receiver, &endpoints, 4).await;
    eventually("everything sealed anew", PATIENCE, async || {
        server.stderr().contains("Earlier master keys seal nothing")
    })
    .await;
    let metrics = server.api.get("/metrics").await.text();
    assert!(
        metrics.contains("\nposthaste_secrets_to_reseal 0\n"),
        "{metrics}"
    );
    server.terminate(PATIENCE).await;

    // Without the earlier key: nothing needs it any more.
    let server = launch(folder.path(), 2, &[]).start().await;
    deliver(&server, &receiver, &endpoints, 1).await;
    let shown = format!("/api/v1/app/shop/endpoint/{}/secret", endpoints[0].id);
    let shown = server.api.get(&shown).await.expect(200);
    assert_eq!(shown["key"], json!(endpoints[0].secret));
}

/// And the earlier key alone opens nothing: what it sealed is sealed with the new one.
#[tokio::test]
async fn the_earlier_key_alone_opens_nothing_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = launch(folder.path(), 1, &[]).start().await;
    server.api.create_application("shop").await;
    let to = json!({"url": "http://127.0.0.1:1/"});
    let endpoint = server.api.create_endpoint("shop", &to).await;
    server.terminate(PATIENCE).await;
    let mut server = launch(folder.path(), 2, &[1]).start().await;
    eventually("everything sealed anew", PATIENCE, async || {
        server.stderr().contains("Earlier master keys seal nothing")
    })
    .await;
    server.terminate(PATIENCE).await;

    let server = launch(folder.path(), 1, &[]).start().await;
    let shown = format!("/api/v1/app/shop/endpoint/{}/secret", endpoint.id);
    let answer = server.api.get(&shown).await;
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(!answer.text().contains(&endpoint.secret));
}

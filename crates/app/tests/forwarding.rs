//! What a source receives reaches real receivers: as a message signed by us, and as it came.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::time::Duration;

use cli::sink::Received;
use domain::Timestamp;
use inbound::samples::{Fresh, Making, samples_of};
use serde_json::json;
use signature::scheme::{self, Verdict, preset};
use signature::{Verifier, VerifyingKey};
use testkit::{Launch, Receiver};

const LIMIT: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PROVIDERS: [&str; 5] = ["github", "stripe", "slack", "standard-webhooks", "shopify"];

fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// Says whether a receiver that was written for the provider takes what it got.
fn is_the_providers(provider: &str, received: &Received) -> bool {
    let scheme = &preset(provider).unwrap().scheme;
    let headers: Vec<(&str, &[u8])> = received
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let request = scheme::Request {
        method: received.method.as_str(),
        url: None,
        headers: &headers,
        body: &received.body,
        fetched: None,
    };
    let keys = [scheme::Key::parse(scheme, SECRET).unwrap()];
    matches!(scheme.verify(&request, &keys, now()), Verdict::Verified(_))
}

/// Says whether the headers of these names hold a signature of ours.
fn is_ours(secret: &str, prefix: &str, received: &Received) -> bool {
    let header = |name: &str| {
        let value = received.headers.get(format!("{prefix}{name}"));
        value.and_then(|value| value.to_str().ok())
    };
    let signature = header("signature").unwrap_or_default();
    let seen = signature::Received {
        id: header("id"),
        timestamp: header("timestamp"),
        signatures: &[signature],
        body: &received.body,
    };
    let verifier = Verifier::new([VerifyingKey::parse(secret).unwrap()]);
    verifier.verify(&seen, now(), LIMIT).is_ok()
}

#[tokio::test]
async fn receivers_of_the_provider_and_receivers_of_ours_verify_what_they_get() {
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).start().await;
    let receiver = Receiver::start().await;
    for provider in PROVIDERS {
        server.api.create_application(provider).await;
        let (plain, raw) = (format!("/{provider}/plain"), format!("/{provider}/raw"));
        let endpoint = json!({"url": receiver.url(&plain)});
        let plain_to = server.api.create_endpoint(provider, &endpoint).await;
        let endpoint = json!({"url": receiver.url(&raw), "deliverAs": "request"});
        let raw_to = server.api.create_endpoint(provider, &endpoint).await;
        let source = json!({"name": provider, "provider": provider, "secrets": [SECRET]});
        let path = format!("/api/v1/app/{provider}/source");
        let source = server.api.post(&path, source.to_string()).await.expect(201);
        let (_, token) = source["url"].as_str().unwrap().split_once("/in/").unwrap();
        let sample = samples_of(provider).next().unwrap();
        let ready = sample
            .make(&Making {
                preset: preset(provider).unwrap(),
                secret: SECRET,
                url: "https://hooks.example/",
                fresh: Fresh {
                    seed: [7; 16],
                    at: now(),
                },
                body: None,
                spoil: None,
            })
            .unwrap();

        let inbound = format!("/in/{token}?from=provider");
        let call = (ready.method, inbound.as_str());
        let answer = server
            .api
            .deliver(call, &ready.headers, ready.body.clone())
            .await;

        assert_eq!(answer.status, 200, "{provider}: {}", answer.text());
        let plain = &receiver.wait_for(&plain, 1, LIMIT).await[0];
        let raw = &receiver.wait_for(&raw, 1, LIMIT).await[0];
        assert_eq!(
            (&plain.body, &raw.body),
            (&ready.body.clone().into(), &ready.body.into())
        );
        assert!(is_ours(&plain_to.secret, "webhook-", plain), "{provider}");
        assert!(is_ours(&raw_to.secret, "posthaste-", raw), "{provider}");
        assert!(
            is_the_providers(provider, raw),
            "{provider}: {:?}",
            raw.headers
        );
        assert!(!is_the_providers(provider, plain), "{provider}");
        assert_eq!(raw.uri.query(), Some("from=provider"));
        assert_eq!(raw.headers["x-forwarded-for"], "127.0.0.1");
    }
}

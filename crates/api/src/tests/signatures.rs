//! What deliveries are signed with, and under which names.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use domain::Timestamp;
use serde_json::json;
use signature::{Received, Verifier, VerifyingKey};

use super::harness::TestApi;

const HOOK: &str = "/api/v1/app/acme/endpoint/hook";
const MESSAGE: &str = r#"{"eventType": "a", "payload": {}}"#;

/// Receivers that were made for the older names verify as they always did.
#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_the_older_names_of_the_headers_when_it_asked() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    let asked = api
        .patch(HOOK, r#"{"svixHeaders": true}"#)
        .await
        .expect(200);
    assert_eq!(asked["svixHeaders"], true);
    api.publish(MESSAGE).await;
    api.settle().await;
    let stopped = api
        .patch(HOOK, r#"{"svixHeaders": false}"#)
        .await
        .expect(200);
    assert!(stopped.get("svixHeaders").is_none());
    api.publish(MESSAGE).await;
    api.settle().await;

    let seen = api.network.seen();
    let (with, without) = (&seen[0].headers, &seen[1].headers);
    for name in ["id", "timestamp", "signature"] {
        assert_eq!(
            with[format!("svix-{name}")],
            with[format!("webhook-{name}")]
        );
        assert!(!without.contains_key(format!("svix-{name}")));
    }
}

const PRIVATE: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Returns the public keys that anybody can read of the endpoint.
async fn public_keys(api: &TestApi) -> serde_json::Value {
    let endpoint = api.get(HOOK).await.expect(200);
    let path = format!("/webhook-keys/{}", endpoint["id"].as_str().unwrap());
    let request = Request::get(path).body(Body::empty()).unwrap();
    let reply = api.send(request).await;
    assert_eq!(reply.status, 200, "{:?}", reply.bytes);
    assert_eq!(reply.headers["content-type"], "application/jwk-set+json");
    reply.json()["keys"].clone()
}

fn header(api: &TestApi) -> String {
    let seen = api.network.seen();
    let last = seen.last().unwrap();
    last.headers["webhook-signature"]
        .to_str()
        .unwrap()
        .to_owned()
}

fn verifies(api: &TestApi, key: &str) -> bool {
    let seen = api.network.seen();
    let last = seen.last().unwrap();
    let of = |name: &str| last.headers[name].to_str().unwrap();
    let key = VerifyingKey::parse(key).unwrap();
    let received = Received {
        id: Some(of("webhook-id")),
        timestamp: Some(of("webhook-timestamp")),
        signatures: &[of("webhook-signature")],
        body: &last.body,
    };
    let now = Timestamp::parse("2026-01-01T00:00:05Z").unwrap();
    let tolerance = Duration::from_mins(5);
    Verifier::new([key])
        .verify(&received, now, tolerance)
        .is_ok()
}

async fn deliver(api: &TestApi) {
    api.publish(MESSAGE).await;
    api.settle().await;
}

/// The private key is made by the server and never shown, by no call.
#[tokio::test(start_paused = true)]
async fn an_endpoint_signs_with_a_key_pair_when_it_asks() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = r#"{"url": "https://example.com/", "uid": "hook", "signature": "ed25519"}"#;
    let created = api
        .post("/api/v1/app/acme/endpoint", body)
        .await
        .expect(201);
    assert!(!created.to_string().contains("whsk_"));

    let shown = api.get(&format!("{HOOK}/secret")).await.expect(200);
    let key = shown["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("whpk_"), "{key}");
    deliver(&api).await;

    assert!(header(&api).starts_with("v1a,"));
    assert!(verifies(&api, &key));
    let keys = public_keys(&api).await;
    assert_eq!(keys.as_array().unwrap().len(), 1);
    assert_eq!(keys[0]["whpk"], key);
    assert_eq!(
        (&keys[0]["kty"], &keys[0]["crv"]),
        (&json!("OKP"), &json!("Ed25519"))
    );
}

/// From a shared secret to a key pair to the next key pair: every kind signs until its end.
#[tokio::test(start_paused = true)]
async fn a_rotation_overlaps_whatever_the_kinds_are() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let rotate = format!("{HOOK}/secret/rotate");
    let shared = api.get(&format!("{HOOK}/secret")).await.expect(200);

    let first = api
        .post(&rotate, r#"{"signature": "ed25519"}"#)
        .await
        .expect(200);
    deliver(&api).await;

    assert!(header(&api).starts_with("v1a,") && header(&api).contains(" v1,"));
    assert!(!header(&api).contains("  "));
    for key in [&shared, &first] {
        assert!(verifies(&api, key["key"].as_str().unwrap()));
    }

    // Of the same kind when nothing is said.
    let grace = r#"{"gracePeriodSeconds": 60}"#;
    let second = api.post(&rotate, grace).await.expect(200);
    assert!(second["key"].as_str().unwrap().starts_with("whpk_"));
    deliver(&api).await;
    assert!(verifies(&api, second["key"].as_str().unwrap()));
    assert!(verifies(&api, first["key"].as_str().unwrap()));
    let keys = public_keys(&api).await;
    assert_eq!(keys[0]["whpk"], second["key"]);
    assert_eq!(keys[1]["whpk"], first["key"]);
    assert!(keys[0].get("exp").is_none() && keys[1]["exp"].is_i64());

    tokio::time::sleep(Duration::from_secs(61)).await;
    deliver(&api).await;
    assert!(!header(&api).contains(' '), "{}", header(&api));
    assert_eq!(public_keys(&api).await.as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_private_key_can_be_brought_and_is_never_given_back() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let rotate = format!("{HOOK}/secret/rotate");

    let body = json!({"key": PRIVATE, "gracePeriodSeconds": 0}).to_string();
    let rotated = api.post(&rotate, &body).await.expect(200);
    deliver(&api).await;

    let key = rotated["key"].as_str().unwrap();
    assert_eq!(key, "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
    assert!(verifies(&api, key));
    assert_eq!(
        api.get(&format!("{HOOK}/secret")).await.expect(200),
        rotated
    );
}

#[tokio::test(start_paused = true)]
async fn faults_of_a_signing_key_are_named() {
    let api = TestApi::new().await;
    api.acme().await;
    let create = async |fields: serde_json::Value| {
        let mut body = json!({"url": "https://example.com/"});
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        api.post("/api/v1/app/acme/endpoint", &body.to_string())
            .await
    };

    let refused = create(json!({"signature": "rsa"})).await;
    refused.expect_faults(&["body.signature"]);
    let refused = create(json!({"secret": "whsk_AAAA"})).await;
    refused.expect_faults(&["body.secret"]);
    let refused = create(json!({"secret": "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="}));
    refused.await.expect_faults(&["body.secret"]);
    let refused = create(json!({"secret": PRIVATE, "signature": "hmac-sha256"})).await;
    refused.expect_faults(&["body.signature"]);
}

/// Whoever asks learns nothing about endpoints without a public key.
#[tokio::test(start_paused = true)]
async fn there_is_nothing_to_see_without_a_public_key() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let endpoint = api.get(HOOK).await.expect(200);

    let shared = endpoint["id"].as_str().unwrap();
    for id in [shared, "ep_00000000000000000000000000", "hook", "x"] {
        let request = Request::get(format!("/webhook-keys/{id}")).body(Body::empty());
        let reply = api.send(request.unwrap()).await;
        reply.expect_problem(404, "not_found");
    }
}

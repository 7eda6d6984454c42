//! Changing the master key while messages go out (F14), step by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{Limits, Timestamp};
use signature::{Received, Verifier, VerifyingKey};
use store_sqlite::{Options, SqliteStore};
use vault::{MasterKey, Vault};

use super::harness::TestApi;

/// One and a half of the batches in which secrets are sealed anew.
const ENDPOINTS: usize = 150;
const MESSAGE: &str = r#"{"eventType": "a", "payload": {}}"#;

fn key(byte: u8) -> MasterKey {
    MasterKey::from_random([byte; 32])
}

/// Checks what was sent from `from` on: once to every endpoint, signed with its own secret.
fn check(api: &TestApi, from: usize, secrets: &BTreeMap<String, String>) {
    let seen = api.network.seen();
    let now = Timestamp::parse("2026-01-01T00:00:10Z").unwrap();
    let mut reached = Vec::new();
    for request in &seen[from..] {
        let url = request.target.as_str().to_owned();
        let verifier = Verifier::new([VerifyingKey::parse(&secrets[&url]).unwrap()]);
        let of = |name: &str| request.headers[name].to_str().unwrap();
        let received = Received {
            id: Some(of("webhook-id")),
            timestamp: Some(of("webhook-timestamp")),
            signatures: &[of("webhook-signature")],
            body: &request.body,
        };
        let verdict = verifier.verify(&received, now, Duration::from_mins(5));
        assert!(verdict.is_ok(), "{url}: {verdict:?}");
        reached.push(url);
    }
    reached.sort_unstable();
    assert!(reached.iter().eq(secrets.keys()), "{} sent", reached.len());
}

/// The overlap: some secrets are sealed with the new key and some still with the old one, and
/// deliveries that were published before, between and after are all signed right.
#[tokio::test(start_paused = true)]
async fn signatures_are_right_halfway_through_a_change_of_the_master_key() {
    let store = Arc::new(SqliteStore::open(Options::memory()).unwrap());
    let vault = Vault::new(key(1), Vec::new());
    let before = TestApi::over(store.clone(), vault, 1, Limits::default()).await;
    before.acme().await;
    let mut secrets = BTreeMap::new();
    for index in 0..ENDPOINTS {
        let url = format!("https://example.com/{index}");
        let body = format!(r#"{{"url": "{url}", "uid": "e{index}"}}"#);
        let all = "/api/v1/app/acme/endpoint";
        before.post(all, &body).await.expect(201);
        let secret = before.get(&format!("{all}/e{index}/secret")).await;
        let secret = secret.expect(200)["key"].as_str().unwrap().to_owned();
        secrets.insert(url, secret);
    }
    drop(before);

    let vault = Vault::new(key(2), vec![key(1)]);
    let during = TestApi::over(store.clone(), vault, 2, Limits::default()).await;
    let mut progress = during.service.begin_resealing().unwrap();
    assert_eq!(during.service.count_to_reseal().await, Ok(150));
    during.publish(MESSAGE).await;
    assert_eq!(during.service.reseal(&mut progress).await, Ok(false));
    let left = during.service.count_to_reseal().await.unwrap();
    assert_eq!((progress.resealed, left), (100, 50), "halfway");
    during.settle().await;
    check(&during, 0, &secrets);
    during.publish(MESSAGE).await;
    during.settle().await;
    check(&during, ENDPOINTS, &secrets);
    while !during.service.reseal(&mut progress).await.unwrap() {}
    assert_eq!((progress.resealed, progress.failed), (150, 0));
    assert_eq!(during.service.count_to_reseal().await, Ok(0));
    during.publish(MESSAGE).await;
    during.settle().await;
    check(&during, 2 * ENDPOINTS, &secrets);
    drop(during);

    let vault = Vault::new(key(2), Vec::new());
    let after = TestApi::over(store, vault, 3, Limits::default()).await;
    after.publish(MESSAGE).await;
    after.settle().await;
    check(&after, 0, &secrets);
}

//! An endpoint that hangs harms no other.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use testkit::{Launch, Receiver, eventually, eventually_some};
use tokio::time::Instant;

const HEALTHY: usize = 99;
const MESSAGES: usize = 200;
/// Attempts in flight to a destination that nothing is known about; one that never answers gives
/// no reason to go beyond.
const WINDOW: usize = 8;
/// Longer than the test, so that what is in flight at the hung one stays there.
const ATTEMPT: &str = "60s";
/// A quarter of an attempt: who waited behind the hung one would be later by far.
const BOUND: Duration = Duration::from_secs(15);

#[tokio::test]
async fn ninety_nine_endpoints_get_everything_while_the_hundredth_hangs() {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let launch = launch
        .set("DELIVERY__TIMEOUT", ATTEMPT)
        .set("DELIVERY__CONCURRENCY_START", &WINDOW.to_string());
    let (server, receiver) = (launch.start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    for number in 0..HEALTHY {
        let endpoint = json!({"url": receiver.url(&format!("/healthy/{number}"))});
        server.api.create_endpoint("shop", &endpoint).await;
    }
    let endpoint = json!({"url": receiver.url("/hang")});
    server.api.create_endpoint("shop", &endpoint).await;

    let began = Instant::now();
    for number in 0..MESSAGES {
        let payload = format!(r#"{{"number":{number}}}"#);
        server.api.publish("shop", &payload).await;
    }
    let expected = HEALTHY * MESSAGES;
    let arrived = || {
        let tally = receiver.tally();
        usize::try_from(tally.distinct).unwrap() - receiver.at("/hang").len()
    };
    eventually("everything at the healthy ones", BOUND, async || {
        arrived() >= expected
    })
    .await;
    let took = began.elapsed();

    let mut by_path: BTreeMap<String, usize> = BTreeMap::new();
    for request in receiver.received() {
        *by_path.entry(request.uri.path().to_owned()).or_default() += 1;
    }
    let hung = by_path.remove("/hang").unwrap_or_default();
    assert!(
        (1..=WINDOW).contains(&hung),
        "{hung} in flight at the hung one"
    );
    assert_eq!(by_path.len(), HEALTHY);
    assert!(
        by_path.values().all(|count| *count == MESSAGES),
        "{by_path:?}"
    );
    assert!(took < BOUND, "took {took:?}");
}

/// The name server that is configured takes the question and never answers it.
#[tokio::test]
async fn a_name_that_is_never_resolved_delays_nobody_and_fails_as_such() {
    let names = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"))
        .retries("0s")
        .set("EGRESS__DNS_TIMEOUT", "3s")
        .set(
            "EGRESS__NAME_SERVERS",
            &names.local_addr().unwrap().to_string(),
        );
    let (server, receiver) = (launch.start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    for url in ["http://nameless.test/", &receiver.url("/healthy")] {
        let endpoint = json!({ "url": url });
        server.api.create_endpoint("shop", &endpoint).await;
    }

    let message = server.api.publish("shop", "{}").await;
    receiver.wait_for("/healthy", 1, BOUND).await;
    let path = format!("/api/v1/app/shop/attempt/msg/{message}");
    let failed = eventually_some("its attempt ends", BOUND, async || {
        let list = server.api.get(&path).await.expect(200);
        let attempts = list["data"].as_array().unwrap().clone();
        attempts.into_iter().find(|attempt| attempt["status"] == 2)
    })
    .await;

    assert_eq!(failed["error"]["class"], "dns_failed", "{failed}");
    let mut question = [0; 512];
    let len = names.recv(&mut question).unwrap();
    let asked = String::from_utf8_lossy(&question[..len]).into_owned();
    assert!(asked.contains("nameless"), "it was asked: {asked:?}");
}

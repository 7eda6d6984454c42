//! A backlog lies in the store and not in memory, and goes out once its receiver is back.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of a test are a test too"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use testkit::{Absent, Launch, TestServer, eventually};

const MIB: u64 = 1 << 20;
const FEW: usize = 10_000;
const MANY: usize = 100_000;
const BATCH: usize = 1_000;
/// Resident memory, whatever waits and while it goes out.
const CEILING: u64 = 150 * MIB;
/// What 90,000 more messages may add: caches that fill, and nothing per message.
const GROWTH: u64 = 40 * MIB;
/// For 100,000 deliveries on a busy machine; they take a tenth of it at rest.
const DRAINED_WITHIN: Duration = Duration::from_secs(100);

/// Publishes until `total` messages have been accepted.
async fn publish_up_to(server: &TestServer, accepted: &mut Vec<String>, total: usize) {
    let filler = "x".repeat(500);
    while accepted.len() < total {
        let numbers = accepted.len()..(accepted.len() + BATCH).min(total);
        let payloads =
            numbers.map(|number| format!(r#"{{"number":{number},"filler":"{filler}"}}"#));
        let ids = server.api.publish_batch("shop", payloads).await;
        accepted.extend(ids);
    }
}

#[tokio::test]
async fn a_backlog_leaves_memory_flat_and_goes_out_once_when_the_receiver_is_back() {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"))
        .retries("0s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1h")
        .set("DELIVERY__BREAKER_AFTER", "100ms")
        .set("DELIVERY__BREAKER_PROBE", "500ms")
        // The sweep would find what a lost wake-up leaves behind; here it is to show instead.
        .set("ENGINE__SWEEP_INTERVAL", "10m")
        .set("DELIVERY__SLOW_START", "1s");
    let (server, absent) = (launch.start().await, Absent::reserve());
    server.api.create_application("shop").await;
    let endpoint = json!({"url": absent.url("/hooks")});
    server.api.create_endpoint("shop", &endpoint).await;
    let mut accepted = Vec::with_capacity(MANY);

    publish_up_to(&server, &mut accepted, FEW).await;
    let at_few = server.resident();
    publish_up_to(&server, &mut accepted, MANY).await;
    let at_many = server.resident();

    let arrivals: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let counted = Arc::clone(&arrivals);
    let sink = absent
        .come_back(move |request| {
            let id = request.header("webhook-id").unwrap().to_owned();
            *counted.lock().unwrap().entry(id).or_default() += 1;
        })
        .await;
    let mut peak = at_many;
    eventually("all of them arrive", DRAINED_WITHIN, async || {
        peak = peak.max(server.resident());
        sink.tally().distinct >= MANY as u64
    })
    .await;

    let arrivals = arrivals.lock().unwrap();
    let missing = accepted.iter().filter(|id| !arrivals.contains_key(*id));
    assert_eq!(missing.count(), 0, "accepted and not delivered");
    assert_eq!(arrivals.len(), MANY, "delivered and never accepted");
    let repeated = arrivals.values().filter(|count| **count > 1).count();
    assert_eq!(
        repeated, 0,
        "delivered more than once, and nothing failed there"
    );
    let shown = format!(
        "{} MiB at {FEW}, {} MiB at {MANY}, at most {} MiB while they went out",
        at_few / MIB,
        at_many / MIB,
        peak / MIB
    );
    assert!(at_many <= at_few + GROWTH, "grew with the backlog: {shown}");
    assert!(peak <= CEILING, "above {} MiB: {shown}", CEILING / MIB);
    println!("{shown}");
}

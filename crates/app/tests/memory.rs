//! A thousand megabytes of bodies at once, and as many messages as come: what does not fit is
//! refused, and the program's memory stays below a ceiling, at its highest too.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "the helpers of a test are a test too, and it opens connections by itself"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use testkit::{Launch, Receiver, TestServer, eventually};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

const MIB: u64 = 1 << 20;
/// A program without optimisation takes more.
const CEILING: u64 = if cfg!(debug_assertions) {
    320 * MIB
} else {
    256 * MIB
};
/// Bodies of nearly 5 MiB, as large as a batch may be.
const BATCHES: usize = 200;
const PAYLOADS: usize = 5;
const PAYLOAD: usize = 1_000_000;
const IDLE: usize = 10_000;
/// Connections from one address; the server takes no more than 256.
const OF_A_PEER: usize = 250;
const SMALL: usize = 40_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// The most memory that the process ever had.
fn peak(server: &TestServer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

/// Publishes all at once; counts the answers by status, 0 for a connection that broke.
async fn flood(server: &TestServer, bodies: Vec<Arc<str>>) -> BTreeMap<u16, usize> {
    let mut calls = JoinSet::new();
    for body in bodies {
        let api = server.api.clone();
        calls.spawn(async move {
            let path = "/api/v1/app/shop/msg/batch";
            let answer = api.call(Method::POST, path, body.to_string().into()).await;
            answer.map_or(0, |answer| answer.status)
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(status) = calls.join_next().await {
        *answers.entry(status.unwrap()).or_default() += 1;
    }
    answers
}

/// Takes as many files as this process may have; says how many connections leave room for others.
fn most_connections() -> usize {
    const OTHER_FILES: u64 = 1_000;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    // The server takes connections for 80 % of the files that it may have.
    let files = limit.maximum.unwrap_or(1 << 20) * 4 / 5;
    let free = files.saturating_sub(OTHER_FILES);
    usize::try_from(free).unwrap().min(IDLE)
}

/// Opens a connection, each few from an address of their own.
async fn connect(server: &TestServer, number: usize) -> TcpStream {
    let peer = u8::try_from(2 + number / OF_A_PEER).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 1, peer], 0)))
        .unwrap();
    socket.connect(server.api.address).await.unwrap()
}

fn batch(messages: usize, payload: usize) -> Arc<str> {
    let payload = "x".repeat(payload);
    let one = format!(r#"{{"eventType":"content.published","payload":"{payload}"}}"#);
    let all = vec![one; messages].join(",");
    format!(r#"{{"messages":[{all}]}}"#).into()
}

#[tokio::test]
async fn more_than_fits_into_memory_is_refused_and_ends_nothing() {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste")).retries("0s,1s,1h");
    let (server, receiver) = (launch.start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    // What goes to the one that hangs stays in memory, as far as it may.
    for path in ["/hang", "/status/503"] {
        let endpoint = json!({"url": receiver.url(path)});
        server.api.create_endpoint("shop", &endpoint).await;
    }
    let began = Instant::now();
    let mut idle = Vec::new();
    for number in 0..most_connections() {
        idle.push(connect(&server, number).await);
    }
    let connected_in = began.elapsed();
    let idling = peak(&server);

    let small = vec![batch(1_000, 1_000); SMALL / 1_000];
    let few = flood(&server, small).await;
    let at_small = peak(&server);
    let large = flood(&server, vec![batch(PAYLOADS, PAYLOAD); BATCHES]).await;
    let at_large = peak(&server);

    let shown = format!(
        "{few:?}, then {large:?}; {} MiB with idle connections, {} and {} MiB",
        idling / MIB,
        at_small / MIB,
        at_large / MIB
    );
    println!("{shown}");
    // One that finds no room in the queue of the kernel comes again after a second.
    assert!(connected_in < PATIENCE / 4, "{connected_in:?}");
    for answers in [&few, &large] {
        let known = answers.keys().all(|status| matches!(status, 0 | 202 | 503));
        assert!(known, "{shown}");
        assert!(answers.contains_key(&202), "{shown}");
    }
    assert!(at_large <= CEILING, "{shown}");
    drop(idle);
    // The pid is the same: it was never started again.
    eventually("it takes what comes next", PATIENCE, async || {
        server.api.try_publish("shop", "{}").await.is_ok()
    })
    .await;
}

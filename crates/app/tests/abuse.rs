//! What strangers send must not fill memory, nor write the log for us: E1, E9 and C14 against the
//! built program, over plain sockets.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the helpers of a test are a test too; these speak and answer by hand"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use testkit::{ADMIN_KEY, Launch, TestServer, eventually};

const PATIENCE: Duration = Duration::from_secs(20);
const MIB: u64 = 1024 * 1024;
/// `limits.batch`, the largest of all bodies that are read.
const BATCH: u64 = 5 * MIB;

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_posthaste"))
}

fn address(server: &TestServer) -> SocketAddr {
    let url = server.api.url();
    url.trim_start_matches("http://").parse().unwrap()
}

/// Sends a head and then body until the server has had enough; how much body went out, and the
/// first line of the answer.
fn flood(to: SocketAddr, head: String, piece: Vec<u8>) -> JoinHandle<(u64, String)> {
    const ENOUGH: u64 = 256 * MIB;
    thread::spawn(move || {
        let mut socket = TcpStream::connect(to).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = socket.try_clone().unwrap();
        // Read beside the writing: the answer is lost once the connection is reset.
        let answer = thread::spawn(move || {
            let (mut answer, mut byte) = (Vec::new(), [0]);
            while !answer.ends_with(b"\r\n") && matches!(reader.read(&mut byte), Ok(1)) {
                answer.push(byte[0]);
            }
            String::from_utf8(answer).unwrap()
        });
        socket.write_all(head.as_bytes()).unwrap();
        let mut sent = 0;
        while sent < ENOUGH && socket.write_all(&piece).is_ok() {
            sent += piece.len() as u64;
        }
        (sent, answer.join().unwrap())
    })
}

/// E1: with a length that is a lie or none at all, of whoever sends it, a body is read up to its
/// limit at most, and eight of them cost no more than twice what they may have.
#[tokio::test]
async fn bodies_without_end_cost_no_more_memory_than_their_limit() {
    const SIDE_BY_SIDE: u64 = 8;
    // What all bodies together may have is another test's business.
    let server = launch().set("LIMITS__BODIES", "256MiB").start().await;
    server.api.create_application("shop").await;
    let to = address(&server);
    let head = |key: &str, framing: &str| {
        format!(
            "POST /api/v1/app/shop/msg/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\n{framing}\r\n\r\n"
        )
    };
    let chunked = "transfer-encoding: chunked";
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let plain = vec![b' '; 0x10000];
    let at_rest = server.resident();

    for (key, framing, piece, status) in [
        (ADMIN_KEY, chunked, &chunk, "413"),
        (ADMIN_KEY, "content-length: 268435456", &plain, "413"),
        ("ph_of_nobody", chunked, &chunk, "401"),
    ] {
        let floods: Vec<_> = (0..SIDE_BY_SIDE)
            .map(|_| flood(to, head(key, framing), piece.clone()))
            .collect();
        let mut most = 0;
        while floods.iter().any(|flood| !flood.is_finished()) {
            most = most.max(server.resident());
            tokio::task::yield_now().await;
        }
        for flood in floods {
            let (sent, answer) = flood.join().unwrap();
            // What is beyond the limit lies in the buffers of the two sockets.
            assert!(sent < BATCH + 16 * MIB, "{framing}: {sent} bytes went out");
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
        let growth = most.saturating_sub(at_rest);
        assert!(
            growth < SIDE_BY_SIDE * 2 * BATCH,
            "{framing}: {growth} bytes"
        );
    }
    server.api.publish("shop", "{}").await;
}

/// Sends requests whose every part would like to write the log.
fn hostile_requests(to: SocketAddr) {
    let evil = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}\u{9b}31m";
    let cooked = "%1b%5b2J%0d%0a%7b%22level%22%3a%22ERROR%22%7d%e2%80%ae";
    let head = |path: &str, name: &str, value: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\
             {name}: {value}\r\n\r\n{{}}"
        )
    };
    let requests = [
        head("/api/v1/app", "user-agent", evil),
        head("/api/v1/app", "idempotency-key", evil),
        head("/api/v1/app", "x-request-id", evil),
        head("/api/v1/app", "traceparent", evil),
        head("/api/v1/app", "x-forwarded-for", evil),
        head(&format!("/api/v1/app/{cooked}/msg"), "accept", "*/*"),
        head(&format!("/in/{cooked}"), "user-agent", evil),
        head(&format!("/{evil}"), "accept", "*/*"),
        head("/api/v1/app", evil, "x"),
        format!("{evil}\r\n\r\n"),
    ];
    for request in requests {
        let mut socket = TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer); // A reset is an answer too.
    }
}

/// Every name and text that a caller can choose, each with what a terminal or a reader of lines
/// would act on; most are refused.
async fn hostile_names(server: &TestServer) {
    let evil = "a\n{\"level\":\"ERROR\"}\r\u{1b}[2J\u{202e}\u{9b}31m\u{2028}";
    let url = "https://example.invalid/\u{202e}";
    let calls = [
        ("/api/v1/app", json!({"name": evil, "uid": "evil"})),
        ("/api/v1/app", json!({"name": "x", "uid": evil})),
        (
            "/api/v1/app",
            json!({"name": "x", "metadata": {evil: evil}}),
        ),
        (
            "/api/v1/app/shop/endpoint",
            json!({"url": url, "description": evil}),
        ),
        (
            "/api/v1/app/shop/msg",
            json!({"eventType": evil, "payload": {evil: evil}}),
        ),
        (
            "/api/v1/app/shop/msg",
            json!({"eventType": "a", "eventId": evil, "payload": {}}),
        ),
        (
            "/api/v1/app/shop/msg",
            json!({"eventType": "a", "channels": [evil], "payload": evil}),
        ),
        (
            "/api/v1/event-type",
            json!({"name": evil, "description": evil}),
        ),
        ("/api/v1/key", json!({"name": evil, "scope": "read"})),
        (
            "/api/v1/app/shop/source",
            json!({"name": evil, "provider": evil}),
        ),
    ];
    for (path, body) in calls {
        let answer = server.api.post(path, body.to_string()).await;
        assert!(answer.status < 500, "{path}: {}", answer.text());
    }
}

async fn log_of_the_hostile(format: &str) -> String {
    let launch = launch()
        .set("LOG__FORMAT", format)
        .set("LOG__LEVEL", "debug");
    let mut server = launch.retries("0s").start().await;
    server.api.create_application("shop").await;
    let receiver = spoken_by_hand("HTTP/1.1 500 \u{1b}[2J\r\nserver: \u{9b}31m\r\n".to_owned());
    let hook = json!({"url": format!("http://{receiver}/")});
    server.api.create_endpoint("shop", &hook).await;
    server.api.publish("shop", "{}").await;
    let to = address(&server);
    thread::spawn(move || hostile_requests(to)).join().unwrap();
    hostile_names(&server).await;
    server.terminate(PATIENCE).await;
    server.stderr()
}

/// Says which characters would act on a terminal, or end a line for some reader of lines.
fn acts(c: char) -> bool {
    let turns = ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// E9: a line is one event, and nothing in it acts on a terminal.
#[tokio::test]
async fn nobody_else_writes_lines_into_the_log() {
    for format in ["json", "text"] {
        let log = log_of_the_hostile(format).await;
        assert!(log.lines().count() > 3, "{log}");
        for line in log.lines() {
            assert!(!line.chars().any(acts), "{format}: {line:?}");
            if format == "json" {
                let event: Value = serde_json::from_str(line).unwrap();
                assert!(
                    event["level"] != "ERROR" && event["message"].is_string(),
                    "{line}"
                );
            } else {
                // Every line is our own: it begins with its time.
                let is_ours = line
                    .get(..4)
                    .is_some_and(|year| year.parse::<u16>().is_ok());
                assert!(is_ours, "{line:?}");
            }
        }
    }
}

/// A receiver that answers every request with this head, and no body.
fn spoken_by_hand(head: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, mut request) = (socket.unwrap(), [0; 16 * 1024]);
            let _ = socket.read(&mut request);
            let rest = "content-length: 0\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(format!("{head}{rest}").as_bytes());
        }
    });
    address
}

/// C14: what a receiver's answer says of the time reaches the operator, from the wire to the log
/// and the metrics.
#[tokio::test]
async fn the_date_of_an_answer_shows_that_clocks_differ() {
    let server = launch().start().await;
    server.api.create_application("shop").await;
    let ahead = Timestamp::now() + 10.minutes();
    let date = ahead.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let receiver = spoken_by_hand(format!("HTTP/1.1 200 OK\r\ndate: {date}\r\n"));
    let hook = json!({"url": format!("http://{receiver}/")});
    server.api.create_endpoint("shop", &hook).await;

    server.api.publish("shop", "{}").await;

    eventually("a warning", PATIENCE, async || {
        let log = server.stderr();
        log.lines()
            .any(|line| line.contains("WARN") && line.contains("clock"))
    })
    .await;
    let metrics = server.api.get("/metrics").await.text();
    let skew = metrics
        .lines()
        .find_map(|line| line.strip_prefix("posthaste_clock_skew_seconds "));
    let skew: i64 = skew.unwrap().parse().unwrap();
    assert!((570..=610).contains(&skew), "{skew}");
}

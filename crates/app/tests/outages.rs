//! Every way in which a receiver fails, at once and against the built program: each attempt says
//! why it failed, ends in time and leaves nothing open.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "the helpers of a test are a test too, and its receivers are outside of the program"
)]

#[allow(dead_code, reason = "what names lead to is another test's")]
#[path = "namespace/dns.rs"]
mod dns;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};
use testkit::{Absent, Launch, TestServer, eventually, eventually_some};

use dns::{NameServer, Says};

const MESSAGES: usize = 3;
const DEADLINE: Duration = Duration::from_secs(2);
/// What an attempt may take beyond its deadline.
const GRACE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_mins(1);
const SERVFAIL: u8 = 2;

/// Runs a script on each connection to a port of its own.
fn receiver(script: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, stream) = (Arc::clone(&script), stream.unwrap());
            thread::spawn(move || script(stream));
        }
    });
    address
}

/// Reads a request, whose payload is `{}`, and writes this. It reads on until the sender closes.
fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    receiver(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&answer);
        read_to_end(&mut stream);
    })
}

fn status(line: &str) -> SocketAddr {
    answering(format!(
        "HTTP/1.1 {line}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    ))
}

/// Writes this after a request, and then breaks the connection off.
fn resetting(answer: &'static str) -> SocketAddr {
    receiver(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(answer.as_bytes()).unwrap();
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
}

/// Writes a beginning, and then the same bytes over and over, with a pause after each.
fn endless(beginning: &'static str, more: &'static [u8], pause: Duration) -> SocketAddr {
    receiver(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(beginning.as_bytes());
        while stream.write_all(more).is_ok() {
            thread::park_timeout(pause);
        }
    })
}

/// Shows a certificate that nobody has signed.
fn uncertified() -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    receiver(move |mut stream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        // It fails, as the other side does not like what it sees.
        let _ = connection.complete_io(&mut stream);
    })
}

/// Listens, and has no room for anybody: a connection to it is neither made nor refused.
fn full() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        socket
    };
    let waiting = (0..4).map(fill).collect();
    let address = address.as_socket().unwrap();
    (listener, waiting, address)
}

fn read_request(stream: &mut TcpStream) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.ends_with(b"{}") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
}

fn read_to_end(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

/// What an attempt must say: the class of its error, or else the answer's status.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Class(&'static str),
    Answer(u64),
}

use Expected::{Answer, Class};

fn faults(names: &Absent, full: SocketAddr) -> Vec<(String, Expected)> {
    const FOREVER: Duration = Duration::from_hours(1);
    let http = |address: SocketAddr| format!("http://{address}/");
    let https = |address: SocketAddr| format!("https://{address}/");
    let slow = Duration::from_millis(50);
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = b"10\r\n0123456789abcdef\r\n";
    let large = format!("HTTP/1.1 200 OK\r\nx-much: {}\r\n\r\n", "x".repeat(1 << 20));
    let silent = || receiver(|_stream| thread::park_timeout(FOREVER));
    vec![
        (http(full), Class("connect_timeout")),
        (names.url("/"), Class("connection_refused")),
        (http(resetting("")), Class("connection_reset")),
        (http(resetting(head)), Class("connection_reset")),
        (http(resetting(half)), Class("connection_reset")),
        (
            http(endless("HTTP/1.1 200 OK\r\nx: ", b"x", slow)),
            Class("timeout"),
        ),
        (http(endless(chunks, b"1\r\nx\r\n", slow)), Class("timeout")),
        (http(endless(chunks, chunk, Duration::ZERO)), Answer(200)),
        (http(silent()), Class("timeout")),
        (
            http(answering("220 mail.example ESMTP\r\n")),
            Class("invalid_response"),
        ),
        (http(answering(large)), Class("response_too_large")),
        (https(silent()), Class("tls_failed")),
        (https(status("400 Bad Request")), Class("tls_failed")),
        (https(uncertified()), Class("tls_certificate")),
        ("http://missing.test/".into(), Class("dns_not_found")),
        ("http://failing.test/".into(), Class("dns_failed")),
        ("http://stalled.test/".into(), Class("dns_failed")),
        (http(status("500 Internal Server Error")), Answer(500)),
        (http(status("502 Bad Gateway")), Answer(502)),
        (http(status("503 Service Unavailable")), Answer(503)),
        (http(status("429 Too Many Requests")), Answer(429)),
    ]
}

fn files(server: &TestServer) -> usize {
    let open = format!("/proc/{}/fd", server.pid());
    std::fs::read_dir(open).unwrap().count()
}

async fn endpoint(server: &TestServer, url: &str, schedule: &[u64]) -> String {
    let endpoint = json!({"url": url, "retrySchedule": schedule});
    server.api.create_endpoint("shop", &endpoint).await.id
}

async fn attempts_at(server: &TestServer, endpoint: &str) -> Vec<Value> {
    let path = format!("/api/v1/app/shop/attempt/endpoint/{endpoint}");
    let list = server.api.get(&path).await.expect(200);
    list["data"].as_array().unwrap().clone()
}

async fn shop(names: &NameServer, address: SocketAddr) -> TestServer {
    for (name, says) in [
        ("failing.test", Says::Code(SERVFAIL)),
        ("stalled.test", Says::Nothing),
    ] {
        names.says(name, says);
    }
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste"))
        .retries("0s")
        .set("DELIVERY__TIMEOUT", &format!("{}s", DEADLINE.as_secs()))
        .set("DELIVERY__RETRY_AFTER_MAX", "90s")
        .set("EGRESS__CONNECT_TIMEOUT", "1s")
        .set("EGRESS__DNS_TIMEOUT", "1s")
        .set("EGRESS__NAME_SERVERS", &address.to_string())
        .start()
        .await;
    server.api.create_application("shop").await;
    server
}

fn name_server() -> (NameServer, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (NameServer::on(socket), address)
}

#[tokio::test]
async fn every_failure_has_its_class_ends_in_time_and_leaves_no_file_open() {
    let (names, address) = name_server();
    let server = shop(&names, address).await;
    let (absent, (_listener, _waiting, full)) = (Absent::reserve(), full());
    let healthy = endpoint(&server, &format!("http://{}/", status("200 OK")), &[0]).await;
    server.api.publish("shop", "{}").await;
    eventually("the healthy one has it", PATIENCE, async || {
        attempts_at(&server, &healthy).await.len() == 1
    })
    .await;
    let before = files(&server);

    let mut expected = BTreeMap::new();
    for (url, outcome) in faults(&absent, full) {
        expected.insert(endpoint(&server, &url, &[0]).await, (url, outcome));
    }
    server.api.publish_batch("shop", ["{}"; MESSAGES]).await;

    for (id, (url, outcome)) in expected {
        let what = format!("{MESSAGES} attempts at {url}, which should say {outcome:?}");
        let attempts = eventually_some(&what, PATIENCE, async || {
            let attempts = attempts_at(&server, &id).await;
            (attempts.len() == MESSAGES).then_some(attempts)
        })
        .await;
        for attempt in attempts {
            let seen = attempt["error"]["class"].as_str();
            match outcome {
                Class(class) => assert_eq!(seen, Some(class), "{url}: {attempt}"),
                Answer(status) => {
                    assert_eq!(seen, None, "{url}: {attempt}");
                    assert_eq!(attempt["responseStatusCode"], status, "{url}");
                }
            }
            let took = Duration::from_millis(attempt["responseDurationMs"].as_u64().unwrap());
            assert!(took <= DEADLINE + GRACE, "{url}: {attempt}");
        }
    }
    let all = 1 + MESSAGES;
    assert_eq!(attempts_at(&server, &healthy).await.len(), all);
    // Less than idle connections are kept for: these are of no use to anybody.
    eventually("what was opened is closed", DEADLINE * 5, async || {
        files(&server) <= before
    })
    .await;
}

#[tokio::test]
async fn one_410_disables_the_endpoint_and_cancels_what_waits_there() {
    let (names, address) = name_server();
    let server = shop(&names, address).await;
    let gone = endpoint(
        &server,
        &format!("http://{}/", status("410 Gone")),
        &[0, 60],
    )
    .await;

    let message = server.api.publish("shop", "{}").await;
    let path = format!("/api/v1/app/shop/endpoint/{gone}");
    let shown = eventually_some("it is disabled", PATIENCE, async || {
        let shown = server.api.get(&path).await.expect(200);
        (shown["disabled"] == true).then_some(shown)
    })
    .await;
    server.api.publish("shop", "{}").await;

    assert_eq!(shown["disabledReason"], "gone", "{shown}");
    let attempts = attempts_at(&server, &gone).await;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0]["msgId"], message);
}

/// The schedule says 30 s, and at most 90 s may be asked for.
#[tokio::test]
async fn retry_after_is_heeded_between_the_schedule_and_its_limit() {
    let (names, address) = name_server();
    let server = shop(&names, address).await;
    let mut expected = BTreeMap::new();
    for (asked, wait) in [("1", 30.0), ("60", 60.0), ("86400", 90.0), ("soon", 30.0)] {
        let line = format!("503 Service Unavailable\r\nretry-after: {asked}");
        let id = endpoint(&server, &format!("http://{}/", status(&line)), &[0, 30]).await;
        expected.insert(id, (asked, wait));
    }

    let message = server.api.publish("shop", "{}").await;
    for (id, (asked, wait)) in expected {
        let attempt = eventually_some("its first attempt", PATIENCE, async || {
            attempts_at(&server, &id).await.pop()
        })
        .await;
        let path = format!("/api/v1/app/shop/msg/{message}/endpoint");
        let list = server.api.get(&path).await.expect(200);
        let list = list["data"].as_array().unwrap();
        let shown = list.iter().find(|shown| shown["id"] == id).unwrap();
        let waits = time(&shown["nextAttempt"]).duration_since(time(&attempt["timestamp"]));

        // Waits are stretched by up to a fifth, so that not all come back at once.
        let seconds = waits.as_secs_f64();
        assert!(
            (wait..=wait * 1.2 + 1.0).contains(&seconds),
            "{seconds} s where {asked} was asked for"
        );
    }
}

fn time(text: &Value) -> jiff::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

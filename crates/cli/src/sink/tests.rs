//! Sinks over the loopback interface, asked by sockets that show what really happens.

#![allow(
    clippy::disallowed_types,
    reason = "a client that sees resets and single bytes"
)]

use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::Parser as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::tests::typed_words;
use crate::{Exit, Streams};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A sink and what it has shown.
async fn sink(options: SinkOptions) -> (RunningSink, Receiver<Received>) {
    let (sender, received) = channel();
    let sink = Sink::start(options, move |request| {
        sender.send(request.clone()).unwrap();
    });
    (sink.await.unwrap(), received)
}

fn request(path: &str, id: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nwebhook-id: {id}\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn open(sink: &RunningSink, request: &str) -> TcpStream {
    let mut socket = TcpStream::connect(sink.addr()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Posts and returns the status of the answer.
async fn post(sink: &RunningSink, path: &str, id: &str) -> u16 {
    let mut socket = open(sink, &request(path, id, "", "{}")).await;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer[9..12].parse().unwrap()
}

#[tokio::test]
async fn a_request_is_answered_and_shown_whole() {
    let (sink, received) = sink(SinkOptions::default()).await;
    let body = r#"{"type":"content.published","data":1}"#;
    let mut socket = open(&sink, &request("/a?b=1", "msg_1", "X-Own: yes\r\n", body)).await;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();

    let request = received.recv().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(request.uri, "/a?b=1");
    assert_eq!(request.header("x-own"), Some("yes"));
    assert_eq!(request.body, body);
    assert_eq!(request.verdict, Verdict::Unchecked);
}

#[tokio::test]
async fn paths_choose_the_status_and_how_many_fail_first() {
    let (sink, _received) = sink(SinkOptions::default()).await;

    assert_eq!(post(&sink, "/a/status/503", "msg_1").await, 503);
    for expected in [500, 500, 200, 200] {
        assert_eq!(post(&sink, "/fail/2", "msg_1").await, expected);
    }
    assert_eq!(
        post(&sink, "/fail/2", "msg_2").await,
        500,
        "another message starts anew"
    );
    assert_eq!(post(&sink, "/b", "msg_1").await, 200);
}

#[tokio::test]
async fn options_choose_what_paths_do_not() {
    let behaviour = Behaviour {
        fail_percent: 100.0,
        ..Behaviour::default()
    };
    let (failing, _received) = sink(SinkOptions {
        behaviour,
        ..SinkOptions::default()
    })
    .await;
    let behaviour = Behaviour {
        fail_first: 1,
        ..Behaviour::default()
    };
    let (warming, _received) = sink(SinkOptions {
        behaviour,
        ..SinkOptions::default()
    })
    .await;

    assert_eq!(post(&failing, "/", "msg_1").await, 500);
    assert_eq!(post(&warming, "/", "msg_1").await, 500);
    assert_eq!(post(&warming, "/", "msg_1").await, 200);
}

#[tokio::test]
async fn a_hanging_path_reads_the_request_and_never_answers() {
    let (sink, received) = sink(SinkOptions::default()).await;
    let mut socket = open(&sink, &request("/hang", "msg_1", "", "{}")).await;
    // Other requests are answered meanwhile, and this one still is not.
    assert_eq!(post(&sink, "/", "msg_2").await, 200);
    assert_eq!(post(&sink, "/", "msg_3").await, 200);

    let mut byte = [0];
    assert_eq!(
        socket.try_read(&mut byte).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let ids: Vec<_> = received.try_iter().map(|r| (r.status, r.seen)).collect();
    assert_eq!(ids.len(), 3);
    // Shutting down does not wait for it.
    assert_eq!(sink.shutdown().await.received, 3);
    assert!(matches!(socket.read(&mut byte).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_dripping_path_answers_byte_by_byte() {
    let options = SinkOptions {
        drip_interval: Duration::from_millis(1),
        ..SinkOptions::default()
    };
    let (sink, _received) = sink(options).await;
    let mut socket = open(&sink, &request("/drip", "msg_1", "", "{}")).await;

    let mut seen = Vec::new();
    while seen
        .windows(8)
        .filter(|bytes| bytes == b"1\r\n.\r\n1\r")
        .count()
        < 3
    {
        assert_ne!(
            socket.read_buf(&mut seen).await.unwrap(),
            0,
            "the answer ended"
        );
    }

    assert!(seen.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_resetting_path_sends_a_reset() {
    let (sink, received) = sink(SinkOptions::default()).await;
    let mut socket = open(&sink, &request("/reset", "msg_1", "", "{}")).await;

    let error = socket.read(&mut [0]).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(received.recv().unwrap().status, None);
}

/// The headers that `posthaste sign` prints, as lines of a request.
async fn signed(body: &str) -> String {
    let words = ["sign", "--secret", SECRET, "--id", "msg_1"];
    let headers = typed_words(&words, body.as_bytes()).await.out;
    headers
        .lines()
        .skip(1)
        .fold(String::new(), |all, line| all + line + "\r\n")
}

#[tokio::test]
async fn signatures_are_verified_where_there_is_a_key() {
    let verifier = crate::verify::verifier(&[SECRET.parse().unwrap()]).unwrap();
    let options = SinkOptions {
        verifier: Some(verifier),
        ..SinkOptions::default()
    };
    let (sink, received) = sink(options).await;
    let headers = signed("{}").await;

    for body in ["{}", "[]"] {
        let mut socket = open(&sink, &request("/", "msg_1", &headers, body)).await;
        socket.read_to_end(&mut Vec::new()).await.unwrap();
    }

    let verdicts: Vec<Verdict> = received.try_iter().map(|request| request.verdict).collect();
    let mismatch = Verdict::Refused(signature::Refused::SignatureMismatch);
    assert_eq!(verdicts, [Verdict::Verified, mismatch]);
    assert_eq!(sink.tally().refused, 1);
}

#[tokio::test]
async fn the_tally_tells_repeats_from_new_deliveries() {
    let (sink, _received) = sink(SinkOptions::default()).await;
    post(&sink, "/a", "msg_1").await;
    post(&sink, "/a", "msg_1").await;
    post(&sink, "/b", "msg_1").await;
    post(&sink, "/status/404", "msg_2").await;

    let tally = sink.shutdown().await;

    assert_eq!(
        tally,
        Tally {
            received: 4,
            distinct: 3,
            repeats: 1,
            failures: 1,
            refused: 0
        }
    );
}

#[tokio::test]
async fn a_dropped_sink_leaves_its_address() {
    let (sink, _received) = sink(SinkOptions::default()).await;
    let listen = sink.addr();
    sink.shutdown().await;

    Sink::start(
        SinkOptions {
            listen,
            ..SinkOptions::default()
        },
        |_| {},
    )
    .await
    .unwrap();
}

#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    sink: SinkArgs,
}

/// Runs the command until each of `requests` has been answered.
async fn commanded(line: &str, requests: &[String]) -> (Exit, String, String) {
    let args = CommandLine::try_parse_from(line.split(' ')).unwrap().sink;
    let (mut input, mut out, mut err) = (&b""[..], Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut input,
        out: &mut out,
        err: &mut err,
        around: crate::Surroundings::default(),
    };
    let (tell, addr) = oneshot::channel();
    let ask = async {
        let addr = addr.await.unwrap();
        for request in requests {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            socket.read_to_end(&mut Vec::new()).await.unwrap();
        }
    };

    let exit = command::run_until(args, &mut streams, |addr| tell.send(addr).unwrap(), ask).await;

    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit.unwrap(), text(out), text(err))
}

#[tokio::test]
async fn the_command_prints_a_line_for_each_request_and_the_counts() {
    let headers = signed(r#"{"type":"a.b"}"#).await;
    let requests = [
        request("/hooks", "msg_1", &headers, r#"{"type":"a.b"}"#),
        request("/hooks", "msg_1", "", "\u{1b}[2Jplain"),
    ];
    let line = format!("sink --listen 127.0.0.1:0 --status 204 --secret {SECRET}");

    let (exit, out, err) = commanded(&line, &requests).await;

    let lines: Vec<&str> = out.lines().map(|line| &line[12..]).collect();
    assert_eq!(exit, Exit::Ok);
    assert_eq!(
        lines,
        [
            r#"  204  ✓ verified  msg_1  a.b  /hooks  {"type":"a.b"}"#,
            "  204  ✗ the `webhook-timestamp` header is missing  msg_1 (repeat 1)  -  /hooks  \
             \u{20}[2Jplain",
        ]
    );
    assert!(err.starts_with("listening on http://127.0.0.1:"), "{err}");
    assert!(
        err.ends_with(
            "2 received: 1 distinct, 1 repeats; 0 not answered with success, 1 with a bad \
             signature\n"
        ),
        "{err}"
    );
}

#[tokio::test]
async fn a_line_of_json_has_what_a_verifier_needs() {
    let headers = signed("{}").await;
    let requests = [request("/hooks", "msg_1", &headers, "{}")];

    let (_, out, _) = commanded("sink --listen 127.0.0.1:0 -o ndjson", &requests).await;

    let line: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["body"], "e30=");
    assert_eq!(line["headers"]["webhook-id"], "msg_1");
    assert!(
        line["headers"]["webhook-signature"]
            .as_str()
            .unwrap()
            .starts_with("v1,")
    );
    assert_eq!(line["verified"], serde_json::Value::Null);
}

#[test]
fn shares_and_statuses_are_checked_when_typed() {
    let typed = |line: &str| CommandLine::try_parse_from(line.split(' '));

    assert!(typed("sink --fail 5% --fail-first 2 --latency 50ms --status 503").is_ok());
    for line in [
        "sink --fail 101%",
        "sink --fail x",
        "sink --status 99",
        "sink --latency 50",
        "sink --hang --drip",
        "sink --drip --reset",
        "sink --listen nowhere",
    ] {
        assert!(typed(line).is_err(), "{line}");
    }
}

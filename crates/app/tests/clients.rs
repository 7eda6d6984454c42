//! The official clients and verifiers, as they are published, against the built program.
//!
//! The scripts in `tests/clients` print what they have seen to hold and exit with 1 at the first
//! thing that does not; here they get a server and a receiver.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use testkit::{Endpoint, Launch, Receiver, TestServer, external, finish};

const PYTHON: &str = "POSTHASTE_TEST_PYTHON";
const NODE_MODULES: &str = "POSTHASTE_TEST_NODE_MODULES";
const RUST_CLIENT: &str = "POSTHASTE_TEST_RUST_CLIENT";
/// What the clients call, a file of theirs each.
const RESOURCES: [&str; 10] = [
    "application",
    "authentication",
    "endpoint",
    "erasure",
    "event_type",
    "example",
    "health",
    "message",
    "message_attempt",
    "recovery",
];
const PATIENCE: Duration = Duration::from_secs(20);

/// A script with the program that runs it, if the clients are installed.
fn script(name: &str) -> Option<Command> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients");
    let is_python = Path::new(name).extension().is_some_and(|kind| kind == "py");
    let mut command = if is_python {
        let mut command = Command::new(external::provided(PYTHON)?);
        // Nothing is to be left lying beside the sources.
        command.arg("-B").arg(path.join("python").join(name));
        command
    } else {
        let modules: PathBuf = external::provided(NODE_MODULES)?;
        let mut command = Command::new("node");
        command.arg(path.join("node").join(name));
        command.env(NODE_MODULES, modules);
        command
    };
    command.stdin(std::process::Stdio::null());
    Some(command)
}

/// Runs a script to its end; the lines that it printed.
async fn run(command: Command) -> Vec<String> {
    let output = finish(command).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{said}");
    printed.lines().map(str::to_owned).collect()
}

async fn server() -> TestServer {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    launch.retries("0s,2s,2s").start().await
}

/// Runs a walk, which prints a line for each thing that it has seen to hold.
async fn walks_through(command: Option<Command>, resources: &[&str]) {
    let Some(mut command) = command else {
        return;
    };
    let (server, receiver) = (server().await, Receiver::start().await);
    command.args([&server.api.url(), &server.api.token, &receiver.url("")]);
    command.args(resources);
    let lines = run(command).await;

    let seen = lines.iter().filter(|line| line.starts_with("ok ")).count();
    let expected = 4.max(3 * resources.len());
    assert!(seen >= expected, "too little was looked at: {lines:?}");
    assert!(receiver.tally().received > 0, "nothing was delivered");
}

#[tokio::test]
async fn the_python_client_calls_everything() {
    walks_through(script("walk.py"), &RESOURCES).await;
}

#[tokio::test]
async fn the_javascript_client_calls_everything() {
    walks_through(script("walk.mjs"), &RESOURCES).await;
}

#[tokio::test]
async fn the_rust_client_calls_everything() {
    let client = external::provided(RUST_CLIENT).map(Command::new);
    walks_through(client, &RESOURCES).await;
}

#[tokio::test]
async fn the_previous_javascript_client_walks_through_the_api() {
    walks_through(script("spine_v1.mjs"), &[]).await;
}

/// The largest payload that is accepted, and what of it is around the filler.
const PAYLOAD_MAX: usize = 1024 * 1024;
const FRAME: usize = r#"{"filler":""}"#.len();

/// What is hard to keep as it is, from two bytes to the limit.
fn payloads() -> Vec<String> {
    let filler = |size: usize| format!(r#"{{"filler":"{}"}}"#, "x".repeat(size));
    let mut payloads: Vec<String> = [
        "{}",
        r#"{"b":1,"a":2.0,"u":"\u00e9","n":9007199254740993,"a":3}"#,
        r#"{"naïve":"café ☕ 日本語 🚀 \ud83d\ude80","line":"a\u2028b"}"#,
        r#"{"n":123456789012345678901234567890.000,"e":1E400,"z":-0.0}"#,
        "{ \"a\" : [ 1 ,\t2 ,\r\n 3 ] ,\n\n  \"b\" : { } }",
        "[1, 2, 3]",
        "\"a text\"",
        "42",
    ]
    .map(str::to_owned)
    .into();
    payloads.extend([1_000, 20_000, 250_000, PAYLOAD_MAX - FRAME].map(filler));
    payloads
}

/// Publishes everything and writes down what arrived as the verifiers read it.
async fn capture(server: &TestServer, receiver: &Receiver, secrets: &[&str]) -> String {
    let payloads = payloads();
    let before = receiver.at("/all").len();
    for payload in &payloads {
        server.api.publish("shop", payload).await;
    }
    let all = receiver
        .wait_for("/all", before + payloads.len(), PATIENCE)
        .await;
    let lines = all[before..].iter().map(|received| {
        let headers: Map<String, Value> = received
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect();
        let body = STANDARD.encode(&received.body);
        json!({"headers": headers, "body": body, "secret": secrets}).to_string() + "\n"
    });
    lines.collect()
}

async fn shop() -> (TestServer, Receiver, Endpoint) {
    let (server, receiver) = (server().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/all")});
    let endpoint = server.api.create_endpoint("shop", &endpoint).await;
    (server, receiver, endpoint)
}

/// Captures under one secret, and then under two during a rotation: each of them must do.
async fn deliveries_verify_with(name: &str) {
    let Some(mut command) = script(name) else {
        return;
    };
    let (server, receiver, endpoint) = shop().await;
    let first = endpoint.secret.as_str();

    let mut captured = capture(&server, &receiver, &[first]).await;
    let path = format!("/api/v1/app/shop/endpoint/{}/secret", endpoint.id);
    let rotated = server.api.post(&format!("{path}/rotate"), "{}").await;
    let second = rotated.expect(200)["key"].as_str().unwrap().to_owned();
    captured += &capture(&server, &receiver, &[first, &second]).await;
    let file = server.scratch().join("captured.ndjson");
    std::fs::write(&file, captured).unwrap();
    let lines = run({
        command.arg(&file);
        command
    })
    .await;

    let expected = format!("ok {} deliveries verified, ", 2 * payloads().len());
    let refused = lines[0].strip_prefix(&expected).unwrap();
    let refused: usize = refused.split(' ').next().unwrap().parse().unwrap();
    // Half of the deliveries are tried with two secrets, and each by two verifiers at least.
    assert!(refused >= 20 * 3 * payloads().len() * 2, "{lines:?}");
}

#[tokio::test]
async fn the_python_verifiers_accept_what_arrives_and_refuse_every_forgery() {
    deliveries_verify_with("verify.py").await;
}

#[tokio::test]
async fn the_javascript_verifiers_accept_what_arrives_and_refuse_every_forgery() {
    deliveries_verify_with("verify.mjs").await;
}

/// The canary: a verifier that accepts anything would make the tests above worthless.
#[tokio::test]
async fn the_verifiers_object_to_a_delivery_under_another_secret() {
    let Some(mut command) = script("verify.py") else {
        return;
    };
    let (server, receiver, _) = shop().await;
    let stranger = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    let captured = capture(&server, &receiver, &[stranger]).await;
    let file = server.scratch().join("captured.ndjson");
    std::fs::write(&file, captured).unwrap();
    command.arg(&file);
    let output = finish(command).await;

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("refuses"),
        "{said}"
    );
}

/// A second implementation of Ed25519 agrees, with the keys that the server shows to everybody.
#[tokio::test]
async fn deliveries_signed_with_a_key_pair_verify_elsewhere() {
    let Some(mut command) = script("verify_v1a.mjs") else {
        return;
    };
    let (server, receiver) = (server().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let body = json!({"url": receiver.url("/all"), "signature": "ed25519"});
    let path = "/api/v1/app/shop/endpoint";
    let created = server.api.post(path, body.to_string()).await.expect(201);
    let id = created["id"].as_str().unwrap();
    let keys = format!("{}/webhook-keys/{id}", server.api.url());

    let captured = capture(&server, &receiver, &[]).await;
    let lines = captured.lines().map(|line| {
        let mut delivery: Value = serde_json::from_str(line).unwrap();
        delivery["keys"] = json!(keys);
        delivery.to_string() + "\n"
    });
    let file = server.scratch().join("captured.ndjson");
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    command.arg(&file);
    let lines = run(command).await;

    let expected = format!("ok {} deliveries verify", payloads().len());
    assert!(lines[0].starts_with(&expected), "{lines:?}");
}

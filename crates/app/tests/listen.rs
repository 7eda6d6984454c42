//! `posthaste listen` against the built server, and Ctrl-C.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use cli::sink;
use domain::Timestamp;
use inbound::samples::{Fresh, Making, samples_of};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use signature::scheme::{self, Verdict, preset};
use signature::{Received, Verifier, VerifyingKey};
use testkit::{ADMIN_KEY, Launch, Receiver, TestServer, eventually, eventually_some, finish};

const PATIENCE: Duration = Duration::from_secs(20);

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_posthaste"))
}

/// A command at work, with what it has written so far.
struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    fn start(server: &TestServer, url: &str, words: &[&str]) -> Self {
        let (out, err) = (server.scratch().join("out"), server.scratch().join("err"));
        let mut command = launch().command(words);
        command
            .env("POSTHASTE_URL", url)
            .env("POSTHASTE_TOKEN", ADMIN_KEY)
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap());
        let child = command.spawn().unwrap();
        Self { child, out, err }
    }

    fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    fn err(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    async fn ended(&mut self) -> i32 {
        let child = &mut self.child;
        let ended = eventually_some("it ends", PATIENCE, async || child.try_wait().unwrap());
        ended.await.code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It has ended, mostly.
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn messages_reach_a_local_receiver_signed_until_ctrl_c() {
    let server = launch().start().await;
    let receiver = Receiver::start().await;
    server.api.create_application("shop").await;
    server.api.publish("shop", "{\"n\": 0}").await;
    let url = receiver.url("/hooks");
    let words = [
        "listen",
        &url,
        "-a",
        "shop",
        "--print-secret",
        "-o",
        "ndjson",
    ];
    let words = [words.as_slice(), &["--replay-last", "1"]].concat();
    let mut listener = Running::start(&server, &server.api.url(), &words);
    eventually("it listens", PATIENCE, async || {
        listener.err().contains("listening")
    })
    .await;

    let id = server.api.publish("shop", "{\"n\":\n 1.0}").await;
    let received = receiver.wait_for("/hooks", 2, PATIENCE).await;
    eventually("it says so", PATIENCE, async || {
        listener.out().lines().count() == 3
    })
    .await;
    listener.interrupt();

    assert_eq!(listener.ended().await, 0, "{}", listener.err());
    assert!(
        listener.err().ends_with("2 delivered, 0 of them failed\n"),
        "{}",
        listener.err()
    );
    let out = listener.out();
    let mut lines = out.lines();
    let secret = lines.next().unwrap();
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(
        (&last["id"], &last["status"]),
        (&Value::from(id), &Value::from(200))
    );
    assert_eq!(received[0].body, "{\"n\": 0}");
    assert_eq!(received[1].body, "{\"n\":\n 1.0}");
    let verifier = Verifier::new([VerifyingKey::parse(secret).unwrap()]);
    for one in &received {
        let signed = Received {
            id: one.header("webhook-id"),
            timestamp: one.header("webhook-timestamp"),
            signatures: &[one.header("webhook-signature").unwrap()],
            body: &one.body,
        };
        verifier.verify(&signed, one.at, PATIENCE).unwrap();
    }
}

const SECRET: &str = "a secret of twenty-four b";

/// A source of GitHub's, and what GitHub sends to it.
struct Provider {
    token: String,
    sent: u8,
}

impl Provider {
    async fn new(server: &TestServer, name: &str) -> Self {
        let source = json!({
            "name": name, "uid": name, "provider": "github", "secrets": [SECRET],
        });
        let path = "/api/v1/app/shop/source";
        let source = server.api.post(path, source.to_string()).await.expect(201);
        let (_, token) = source["url"].as_str().unwrap().split_once("/in/").unwrap();
        Self {
            token: token.to_owned(),
            sent: 0,
        }
    }

    /// Sends a push whose body no text can hold, and returns the body.
    async fn push(&mut self, server: &TestServer) -> Vec<u8> {
        self.sent += 1;
        let body = [b"\xff\0 \n".as_slice(), self.token.as_bytes(), &[self.sent]].concat();
        let ready = samples_of("github").next().unwrap().make(&Making {
            preset: preset("github").unwrap(),
            secret: SECRET,
            url: "https://hooks.example/",
            fresh: Fresh {
                seed: [self.sent; 16],
                at: Timestamp::from_unix_seconds(1_770_000_000),
            },
            body: Some(&body),
            spoil: None,
        });
        let mut ready = ready.unwrap();
        let secret = ("Authorization".to_owned(), "Bearer hunter2".to_owned());
        ready.headers.push(secret);
        let path = format!("/in/{}/deep?a=1", self.token);
        let call = ("POST", path.as_str());
        let answer = server.api.deliver(call, &ready.headers, ready.body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        body
    }
}

/// Says whether a receiver that was written for GitHub takes what it got.
fn is_github_s(received: &sink::Received) -> bool {
    let scheme = &preset("github").unwrap().scheme;
    let headers = received.headers.iter();
    let headers: Vec<(&str, &[u8])> = headers
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
    let now = Timestamp::from_unix_seconds(1_770_000_000);
    matches!(scheme.verify(&request, &keys, now), Verdict::Verified(_))
}

#[tokio::test]
async fn what_a_source_receives_is_forwarded_as_it_came_recorded_and_replayed() {
    let server = launch().start().await;
    let receiver = Receiver::start().await;
    server.api.create_application("shop").await;
    let mut github = Provider::new(&server, "gh").await;
    let mut other = Provider::new(&server, "other").await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.push(github.push(&server).await);
    }
    let url = receiver.url("/hooks?k=v");
    let file = server.scratch().join("recorded.ndjson");
    let file = file.to_str().unwrap();
    let words = ["listen", &url, "--source", "shop/gh", "--record", file];
    let words = [words.as_slice(), &["--replay-last", "2", "--count", "3"]].concat();
    let mut listener = Running::start(&server, &server.api.url(), &words);
    receiver.wait_for("/hooks/deep", 2, PATIENCE).await;
    server.api.publish("shop", "{}").await;
    other.push(&server).await;

    bodies.push(github.push(&server).await);

    assert_eq!(listener.ended().await, 0, "{}", listener.err());
    assert_eq!(listener.out().lines().count(), 3, "{}", listener.out());
    let received = receiver.at("/hooks/deep");
    let got: Vec<_> = received.iter().map(|one| one.body.to_vec()).collect();
    assert_eq!(got, bodies[1..]);
    for one in &received {
        assert!(is_github_s(one), "{:?}", one.headers);
        assert_eq!(one.uri.query(), Some("k=v&a=1"));
        assert!(!one.headers.contains_key("authorization"));
    }
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // Without any server.
    let again = receiver.url("/again");
    let words = ["listen", &again, "--replay", file, "-o", "ndjson"];
    let ended = finish(launch().command(&words)).await;

    assert!(ended.status.success());
    let replayed = receiver.at("/again/deep");
    assert_eq!(replayed.len(), 3);
    for (one, first) in replayed.iter().zip(&received) {
        assert_eq!(one.body, first.body);
        assert!(is_github_s(one));
        assert_eq!(
            one.headers["posthaste-request"],
            first.headers["posthaste-request"]
        );
    }
}

#[tokio::test]
async fn what_cannot_be_listened_to_is_told_at_once() {
    let server = launch().start().await;
    let listen = async |app: &str, url: &str| {
        let mut command = launch().command(&["listen", "9", "-a", app, "--url", url]);
        command.env("POSTHASTE_TOKEN", ADMIN_KEY);
        finish(command).await.status.code().unwrap()
    };

    assert_eq!(listen("nowhere", &server.api.url()).await, 3);
    assert_eq!(listen("nowhere", "http://127.0.0.1:9").await, 6);
    server.api.create_application("shop").await;
    let url = server.api.url();
    for (words, status) in [
        (["--source", "shop/nothing"], 3),
        (["--source", "nowhere/gh"], 3),
        (["--record", "/nowhere/file"], 2),
        (["--replay", "/nowhere/file"], 2),
    ] {
        let words = ["listen", "9", "--url", &url, words[0], words[1]];
        let mut command = launch().command(&words);
        command
            .env("POSTHASTE_TOKEN", ADMIN_KEY)
            .env("POSTHASTE_APP", "shop");
        let ended = finish(command).await.status.code().unwrap();
        assert_eq!(ended, status, "{words:?}");
    }
}

#[tokio::test]
async fn ctrl_c_ends_a_command_that_waits_with_130() {
    let server = launch().start().await;
    let hangs = Receiver::start().await;
    let mut waiting = Running::start(&server, &hangs.url("/hang"), &["app", "ls"]);
    hangs.wait_for("/hang/api/v1/app", 1, PATIENCE).await;

    waiting.interrupt();

    assert_eq!(waiting.ended().await, 130);
    assert_eq!(waiting.err(), "error: interrupted\n");
}

//! `posthaste listen` against the built server, and Ctrl-C.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
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

//! The system's wall clock jumps under the built program, by hours, by a day, to 2038, and by
//! fits and starts: nothing is lost, nothing comes before its time, nothing waits for the clock.
//!
//! The program is started with a library between it and the C library (`clock/step.c`) that adds
//! to the wall clock whatever a file says at that moment.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the helpers of a test are a test too, and it looks at the real clock"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use cli::sink::Received;
use serde_json::json;
use tempfile::TempDir;
use testkit::{Launch, Receiver, TestServer, eventually, external};

const SHIM: &str = include_str!("clock/step.c");
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2038-02-07, past the end of 32-bit time.
const FAR: i64 = 2_149_113_600;
/// Attempts in flight to one endpoint.
const WINDOW: usize = 4;
/// A retry that was due goes out within a look at the clock; this is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server whose wall clock a test sets, and a receiver whose clock is right.
struct World {
    server: TestServer,
    receiver: Receiver,
    offset: File,
    _folder: TempDir,
}

impl World {
    /// Starts it; nothing where there is no C compiler, which building SQLite needs too.
    async fn start(schedule: &str) -> Option<Self> {
        if !external::installed("cc") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let library = shim(&folder);
        let path = folder.path().join("offset");
        fs::write(&path, 0_i64.to_ne_bytes()).unwrap();
        let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"))
            .retries(schedule)
            .set("DELIVERY__CONCURRENCY_START", &WINDOW.to_string())
            .set("DELIVERY__CONCURRENCY_MAX", &WINDOW.to_string())
            .variable("LD_PRELOAD", library.to_str().unwrap())
            .variable("CLOCK_OFFSET", path.to_str().unwrap());
        let (server, receiver) = (launch.start().await, Receiver::start().await);
        server.api.create_application("shop").await;
        let offset = File::options().write(true).open(&path).unwrap();
        Some(Self {
            server,
            receiver,
            offset,
            _folder: folder,
        })
    }

    /// Sets the server's wall clock to the true time and so many seconds.
    fn set(&self, seconds: i64) {
        self.set_micros(seconds * 1_000_000);
    }

    fn set_micros(&self, micros: i64) {
        // One aligned write of eight bytes: a reader sees the old value or the new one.
        self.offset.write_all_at(&micros.to_ne_bytes(), 0).unwrap();
    }

    async fn endpoint(&self, path: &str) -> String {
        let endpoint = json!({"url": self.receiver.url(path)});
        self.server.api.create_endpoint("shop", &endpoint).await.id
    }
}

fn shim(folder: &TempDir) -> PathBuf {
    let source = folder.path().join("step.c");
    let library = folder.path().join("step.so");
    fs::write(&source, SHIM).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    assert!(status.unwrap().success(), "the library is compiled");
    library
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs().cast_signed()
}

/// How far the time that a request was signed with is from the true time, in seconds.
fn skew(request: &Received) -> i64 {
    let signed: i64 = request
        .header("webhook-timestamp")
        .unwrap()
        .parse()
        .unwrap();
    signed - now()
}

#[tokio::test]
async fn an_hour_back_delays_no_retry_and_is_what_signatures_say() {
    let Some(world) = World::start("0s,2s,2s").await else {
        return;
    };
    world.endpoint("/fail/1").await;
    world.server.api.publish("shop", "{}").await;
    world.receiver.wait_for("/fail/1", 1, PATIENCE).await;

    world.set(-HOUR);

    let arrived = world.receiver.wait_for("/fail/1", 2, PATIENCE).await;
    let off = skew(&arrived[1]);
    assert!((-HOUR - 40..=-HOUR).contains(&off), "signed {off} s off");
    // What is published now, an hour before the last one, is delivered like any other.
    world.server.api.publish("shop", r#"{"n":2}"#).await;
    world.receiver.wait_for("/fail/1", 3, PATIENCE).await;
}

#[tokio::test]
async fn a_day_forward_sends_what_is_due_by_then_and_no_more_at_once_than_ever() {
    const MESSAGES: usize = 24;
    let Some(world) = World::start("0s,12h,36h").await else {
        return;
    };
    // Each takes a window's place for a fifth of a second.
    let path = "/fail/1/latency/200ms";
    let id = world.endpoint(path).await;
    let recorded = format!("/api/v1/app/shop/attempt/endpoint/{id}?limit=250");
    let payloads = (0..MESSAGES).map(|n| format!(r#"{{"n":{n}}}"#));
    world.server.api.publish_batch("shop", payloads).await;
    // Recorded, that is: what were still under way would be due half a day after the step.
    eventually("all are refused once", PATIENCE, async || {
        let list = world.server.api.get(&recorded).await.expect(200);
        list["data"].as_array().unwrap().len() == MESSAGES
    })
    .await;

    world.set(DAY);

    let arrived = world.receiver.wait_for(path, 2 * MESSAGES, PATIENCE).await;
    let again = &arrived[MESSAGES..];
    let off = skew(&again[0]);
    assert!((DAY - 40..=DAY).contains(&off), "signed {off} s off");
    for (earlier, later) in again.iter().zip(&again[WINDOW..]) {
        let between = later.at.since(earlier.at);
        let least = Duration::from_millis(190);
        assert!(between >= least, "more than {WINDOW} at once");
    }
}

#[tokio::test]
async fn an_hour_back_forgets_no_idempotency_key() {
    let Some(world) = World::start("0s").await else {
        return;
    };
    world.endpoint("/all").await;
    let publish = async || {
        let headers = [
            (
                "authorization".to_owned(),
                format!("Bearer {}", world.server.api.token),
            ),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("idempotency-key".to_owned(), "order-17".to_owned()),
        ];
        let body = r#"{"eventType":"content.published","payload":{}}"#;
        let path = ("POST", "/api/v1/app/shop/msg");
        let answer = world.server.api.deliver(path, &headers, body).await;
        answer.expect(202)["id"].as_str().unwrap().to_owned()
    };
    let first = publish().await;

    for offset in [-HOUR, -10 * MINUTE, 0, 23 * HOUR] {
        world.set(offset);
        assert_eq!(publish().await, first, "with the clock {offset} s off");
    }

    assert_eq!(world.receiver.wait_for("/all", 1, PATIENCE).await.len(), 1);
}

#[tokio::test]
async fn beyond_2038_messages_are_taken_signed_and_delivered() {
    let Some(world) = World::start("0s,1s").await else {
        return;
    };
    world.endpoint("/fail/1").await;

    world.set(FAR - now());
    world.server.api.publish("shop", "{}").await;

    let arrived = world.receiver.wait_for("/fail/1", 2, PATIENCE).await;
    let signed = arrived[1].header("webhook-timestamp").unwrap();
    let signed: i64 = signed.parse().unwrap();
    assert!((FAR..FAR + 60).contains(&signed), "signed with {signed}");
    let (status, _) = { world }.server.terminate(PATIENCE).await;
    assert!(status.success(), "ended with {status}");
}

/// A clock that is slewed by 400 ms per second one way and then the other, and repeats a second
/// in the middle, as it does at a leap second.
#[tokio::test]
async fn a_clock_that_crawls_races_and_repeats_a_second_loses_and_repeats_nothing() {
    const MESSAGES: i64 = 300;
    let Some(world) = World::start("0s,1s,1s").await else {
        return;
    };
    world.endpoint("/fail/1").await;
    let mut accepted = Vec::new();
    for n in 0..MESSAGES {
        let way = if n < MESSAGES / 2 { n } else { MESSAGES - n };
        let leap = if (100..200).contains(&n) {
            1_000_000
        } else {
            0
        };
        world.set_micros(way * 40_000 - leap);
        let payload = format!(r#"{{"n":{n}}}"#);
        accepted.push(world.server.api.publish("shop", &payload).await);
    }
    world.set(0);

    let wanted = 2 * accepted.len();
    eventually("each comes twice", PATIENCE, async || {
        world.receiver.at("/fail/1").len() >= wanted
    })
    .await;

    let arrived = world.receiver.at("/fail/1");
    for id in &accepted {
        let own = arrived
            .iter()
            .filter(|request| request.header("webhook-id") == Some(id));
        assert_eq!(own.count(), 2, "one refused and one taken");
    }
}

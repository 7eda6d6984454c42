//! A database file that is not what was written: bytes that changed, a log that was cut short.
//!
//! Either the program says that it cannot go on, or it goes on with what it can read; it never
//! panics, and a log that was damaged or cut loses its end and nothing else.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::{Launch, Receiver, TestServer, eventually_some};

const MESSAGES: usize = 150;
const PATIENCE: Duration = Duration::from_secs(20);
/// Copies with changed bytes, and how many bytes of each.
const COPIES: u64 = 24;
const FLIPS: u64 = 40;
const FILE: &str = "posthaste.db";
const LOG: &str = "posthaste.db-wal";

/// A server's data after a kill, with a log that was not copied into the database.
async fn data(receiver: &Receiver) -> TestServer {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste")).retries("0s,1h");
    let mut server = launch.start().await;
    server.api.create_application("shop").await;
    for path in ["/all", "/status/500"] {
        let endpoint = json!({"url": receiver.url(path)});
        server.api.create_endpoint("shop", &endpoint).await;
    }
    for half in 0..2 {
        let payloads = (0..MESSAGES).map(|n| format!(r#"{{"half":{half},"n":{n}}}"#));
        server.api.publish_batch("shop", payloads).await;
        receiver
            .wait_for("/all", (half + 1) * MESSAGES, PATIENCE)
            .await;
        if half == 0 {
            // In order: everything is in the database, and the log begins anew.
            server.terminate(PATIENCE).await;
            server.start_again().await;
        }
    }
    server.kill();
    server
}

fn copy(from: &Path, folder: &Path) -> PathBuf {
    let to = folder.join("data");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // Made anew from the log.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    to
}

/// Numbers that follow from a seed.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn flip(file: &Path, seed: u64) {
    let len = fs::metadata(file).unwrap().len();
    let file = File::options().read(true).write(true).open(file).unwrap();
    let mut next = numbers(seed);
    for _ in 0..FLIPS {
        let (at, mut byte) = (next() % len, [0]);
        file.read_exact_at(&mut byte, at).unwrap();
        byte[0] ^= 1 << (next() % 8);
        file.write_all_at(&byte, at).unwrap();
    }
}

/// What became of a start.
struct Start {
    listened: bool,
    stderr: String,
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts on a data directory; waits until it listens and has looked at what is due, or ends.
async fn start(data: &Path, folder: &Path) -> Start {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let log = |name: &str| folder.join(name);
    let mut command = launch.command(&["serve", "--listen", "127.0.0.1:0", "--allow-private"]);
    let child = command
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(File::create(log("out")).unwrap())
        .stderr(File::create(log("err")).unwrap())
        .spawn();
    let mut running = Running(child.unwrap());
    let listened = eventually_some("it listens or ends", PATIENCE, async || {
        let out = fs::read_to_string(log("out")).unwrap();
        let ended = running.0.try_wait().unwrap().is_some();
        (ended || out.contains("listens on")).then_some(!ended)
    })
    .await;
    drop(running);
    let stderr = fs::read_to_string(log("err")).unwrap();
    Start { listened, stderr }
}

#[tokio::test]
async fn changed_bytes_in_the_database_are_no_reason_to_panic() {
    let receiver = Receiver::start().await;
    let server = data(&receiver).await;
    let folder = tempfile::tempdir().unwrap();
    let mut refused = 0;

    for seed in 0..COPIES {
        let data = copy(server.data(), folder.path());
        flip(&data.join(if seed % 3 == 2 { LOG } else { FILE }), seed);

        let start = start(&data, folder.path()).await;

        let said = start.stderr;
        assert!(!said.contains("panicked"), "copy {seed}: {said}");
        if !start.listened {
            refused += 1;
            let says_why = said.contains("error:") || said.contains("The database failed");
            assert!(says_why, "copy {seed} ended without a word: {said}");
        }
    }
    assert!(refused < COPIES, "not every changed bit is fatal");
}

#[tokio::test]
async fn a_log_that_was_cut_short_loses_its_end_and_nothing_before() {
    let receiver = Receiver::start().await;
    let server = data(&receiver).await;
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::metadata(server.data().join(LOG)).unwrap().len();
    assert!(whole > 0, "the second half is in the log");

    for part in [0, 17, 32 + 24, whole / 2, whole - 1] {
        let data = copy(server.data(), folder.path());
        let log = data.join(LOG);
        let file = File::options().write(true).open(&log).unwrap();
        file.set_len(part).unwrap();

        let start = start(&data, folder.path()).await;

        assert!(start.listened, "{part} bytes of the log: {}", start.stderr);
        let connection = rusqlite::Connection::open(data.join(FILE)).unwrap();
        let count = |sql: &str| -> usize {
            let count: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
            count.try_into().unwrap()
        };
        let messages = count("SELECT count(*) FROM message");
        assert!(messages >= MESSAGES, "{messages} with {part} bytes");
        let sound: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok", "with {part} bytes");
    }
}

async fn set(server: &TestServer, endpoint: &str, what: &str) {
    let path = format!("/api/v1/app/shop/endpoint/{endpoint}/{what}");
    server.api.post(&path, "").await.expect(200);
}

/// One payload has a changed byte, one is gone. The others at the same endpoint go out.
#[tokio::test]
async fn a_damaged_payload_is_not_sent_and_holds_up_no_other() {
    const CHANGES: [&str; 2] = [
        "UPDATE message SET payload = CAST(replace(payload, '1', '7') AS BLOB) WHERE payload = ?1",
        "UPDATE message SET payload = NULL WHERE payload = ?1",
    ];
    let receiver = Receiver::start().await;
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste")).retries("0s");
    let mut server = launch.start().await;
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/")});
    let endpoint = server.api.create_endpoint("shop", &endpoint).await.id;
    set(&server, &endpoint, "pause").await;
    let payloads = (0..4).map(|n| format!(r#"{{"n":{n}}}"#));
    let messages = server.api.publish_batch("shop", payloads).await;
    server.terminate(PATIENCE).await;
    let connection = rusqlite::Connection::open(server.data().join(FILE)).unwrap();
    for (change, n) in CHANGES.into_iter().zip(1..) {
        let payload = format!(r#"{{"n":{n}}}"#);
        let changed = connection.execute(change, [payload.as_bytes()]).unwrap();
        assert_eq!(changed, 1);
    }
    drop(connection);

    server.start_again().await;
    set(&server, &endpoint, "unpause").await;
    let received = receiver.wait_for("/", 2, PATIENCE).await;
    for (message, n) in messages.iter().zip(0..) {
        let path = format!("/api/v1/app/shop/attempt/msg/{message}");
        let attempt = eventually_some("its attempt", PATIENCE, async || {
            let list = server.api.get(&path).await.expect(200);
            list["data"].as_array().unwrap().first().cloned()
        })
        .await;
        let class = attempt["error"]["class"].as_str();
        let damaged = [1, 2].contains(&n);
        assert_eq!(class, damaged.then_some("payload_damaged"), "{attempt}");
    }

    let bodies: Vec<_> = received.iter().map(|one| &one.body[..]).collect();
    assert_eq!(bodies, [br#"{"n":0}"#, br#"{"n":3}"#]);
    assert_eq!(receiver.tally().distinct, 2);
    assert!(server.stderr().contains("is not what was published"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let receiver = Receiver::start().await;
    let server = data(&receiver).await;
    let folder = tempfile::tempdir().unwrap();
    let data = copy(server.data(), folder.path());
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(data.join(FILE))
        .unwrap();
    let mut head = [0; 16];
    file.read_exact(&mut head).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(b"something else.\0").unwrap();
    fs::remove_file(data.join(LOG)).unwrap();

    let start = start(&data, folder.path()).await;

    assert_eq!(&head[..15], b"SQLite format 3");
    assert!(!start.listened);
    assert!(start.stderr.contains("database"), "{}", start.stderr);
    assert!(!start.stderr.contains("panicked"), "{}", start.stderr);
}

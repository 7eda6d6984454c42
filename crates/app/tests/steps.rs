//! Killed by the kernel in the middle of what is done in many steps: building the tables, erasing
//! by age, sealing anew. The next start takes it up again, and nothing is half done.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde_json::json;
use signature::{Verifier, VerifyingKey};
use testkit::{Endpoint, Launch, Receiver, TestServer, eventually, external};

const PATIENCE: Duration = Duration::from_secs(30);
/// A server that has lived for so long is past what was to be broken.
const PAST: Duration = Duration::from_secs(4);

fn launch(data: &Path) -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_posthaste")).data(data)
}

fn can_break() -> bool {
    external::installed("strace") && external::permitted("strace", &["-f", "true"])
}

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The file is sound, and nothing in it belongs to something that is not there.
fn assert_whole(data: &Path) {
    let connection = Connection::open(data.join("posthaste.db")).unwrap();
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
    for table in ["attempt", "delivery"] {
        let orphans =
            format!("SELECT count(*) FROM {table} WHERE message NOT IN (SELECT key FROM message)");
        assert_eq!(
            count(&connection, &orphans),
            0,
            "{table}s without a message"
        );
    }
}

#[tokio::test]
async fn a_start_that_is_killed_while_it_builds_the_tables_is_taken_up_by_the_next() {
    if !can_break() {
        return;
    }
    let mut killed = 0;
    for nth in [1, 2, 9, 33, 70, 110, 150] {
        let folder = tempfile::tempdir().unwrap();
        let call = format!("pwrite64:when={nth}");

        let died = launch(folder.path())
            .is_killed_at(folder.path(), &call, PAST)
            .await;
        killed += usize::from(died);

        let server = launch(folder.path()).start().await;
        server.api.create_application("shop").await;
        server.api.publish("shop", "{}").await;
        drop(server);
        assert_whole(folder.path());
    }
    assert!(killed >= 5, "only {killed} starts were killed");
}

/// What a server of the first version left behind when it was killed: 40 messages for two
/// endpoints, of which one has them all and the other refused each once.
const VERSION_1: &str = include_str!("data/version-1.sql");
const LEFT: usize = 40;

fn put_version_1(data: &Path, receiver: &Receiver) {
    let connection = Connection::open(data.join("posthaste.db")).unwrap();
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    let dump = VERSION_1
        .replace("http://127.0.0.1:18080/status/500", &receiver.url("/later"))
        .replace("http://127.0.0.1:18080/all", &receiver.url("/all"));
    connection.execute_batch(&dump).unwrap();
}

fn version(data: &Path) -> i64 {
    let connection = Connection::open(data.join("posthaste.db")).unwrap();
    count(&connection, "SELECT max(version) FROM schema_version")
}

/// What was delivered, what was due, and the secret it is signed with.
async fn assert_kept(server: &TestServer, receiver: &Receiver) {
    receiver.wait_for("/later", LEFT, PATIENCE).await;
    for (uid, failed) in [("all", 0), ("later", LEFT)] {
        let path = format!("/api/v1/app/shop/endpoint/{uid}");
        let secret = server.api.get(&format!("{path}/secret")).await.expect(200);
        assert_eq!(secret["key"], format!("whsec_{}", STANDARD.encode([7; 32])));
        let path = format!("/api/v1/app/shop/attempt/endpoint/{uid}?limit=250");
        eventually("each attempt is kept", PATIENCE, async || {
            let attempts = server.api.get(&path).await.expect(200);
            let attempts = attempts["data"].as_array().unwrap();
            let good = attempts.iter().filter(|one| one["status"] == 0).count();
            (good, attempts.len()) == (LEFT, LEFT + failed)
        })
        .await;
    }
    let messages = server.api.get("/api/v1/app/shop/msg?limit=250").await;
    let messages = messages.expect(200)["data"].as_array().unwrap().clone();
    let mut payloads: Vec<_> = messages.iter().map(|one| &one["payload"]["n"]).collect();
    payloads.sort_by_key(|n| n.as_u64());
    assert_eq!(payloads, (0..LEFT).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_upgrade_from_the_first_version_that_is_killed_on_the_way_loses_nothing() {
    if !can_break() {
        return;
    }
    let with_key = |data: &Path| {
        launch(data)
            .set("SECRETS__MASTER_KEY", &key(7))
            .set("RETENTION__HISTORY", "36500d")
    };
    let mut seen = Vec::new();
    for nth in [1, 10, 20, 30, 45, 60, 75, 90, 105] {
        let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
        put_version_1(folder.path(), &receiver);
        let call = format!("pwrite64:when={nth}");

        let died = with_key(folder.path())
            .is_killed_at(folder.path(), &call, PAST)
            .await;
        seen.push((died, version(folder.path())));

        let server = with_key(folder.path()).start().await;
        assert_kept(&server, &receiver).await;
        drop(server);
        assert_whole(folder.path());
    }
    let newest = seen.iter().map(|(_, version)| *version).max().unwrap();
    let between = |(died, version): &&(bool, i64)| *died && (1..newest).contains(version);
    assert!(seen.iter().filter(between).count() >= 4, "{seen:?}");
}

#[tokio::test]
async fn erasing_by_age_that_is_killed_again_and_again_leaves_whole_messages_and_comes_to_its_end()
{
    const MESSAGES: usize = 400;
    if !can_break() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut server = launch(folder.path()).start().await;
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/all")});
    server.api.create_endpoint("shop", &endpoint).await;
    let payloads = (0..MESSAGES).map(|n| format!(r#"{{"n":{n}}}"#));
    server.api.publish_batch("shop", payloads).await;
    receiver.wait_for("/all", MESSAGES, PATIENCE).await;
    server.terminate(PATIENCE).await;
    let messages = || {
        let connection = Connection::open(folder.path().join("posthaste.db")).unwrap();
        count(&connection, "SELECT count(*) FROM message")
    };
    let erasing = || {
        launch(folder.path())
            .set("RETENTION__HISTORY", "1ms")
            .set("RETENTION__INTERVAL", "10ms")
            .set("RETENTION__ROWS", "40")
    };

    let (mut killed, mut left) = (0, vec![messages()]);
    for nth in [15, 22, 31, 44, 60] {
        let call = format!("pwrite64:when={nth}");
        let died = erasing().is_killed_at(folder.path(), &call, PAST).await;
        killed += usize::from(died);
        assert_whole(folder.path());
        left.push(messages());
    }

    assert!(killed >= 3, "only {killed} were killed");
    let halfway = left.iter().filter(|left| (1..400).contains(*left)).count();
    assert!(halfway > 0, "never in the middle: {left:?}");
    assert!(
        left.is_sorted_by(|a, b| a >= b),
        "erased ones came back: {left:?}"
    );
    let server = erasing().start().await;
    eventually("all is erased", PATIENCE, async || messages() == 0).await;
    drop(server);
    assert_whole(folder.path());
}

fn key(byte: u8) -> String {
    format!("phk_{}", STANDARD.encode([byte; 32]))
}

async fn deliver(launch: Launch, receiver: &Receiver, endpoints: &[Endpoint]) {
    let server = launch.start().await;
    let before = receiver.received().len();
    server.api.publish("shop", "{}").await;
    let all = before + endpoints.len();
    eventually("every delivery", PATIENCE, async || {
        receiver.received().len() >= all
    })
    .await;
    for request in &receiver.received()[before..] {
        let index: usize = request.uri.path()[4..].parse().unwrap();
        let verifier = Verifier::new([VerifyingKey::parse(&endpoints[index].secret).unwrap()]);
        let signatures: Vec<&str> = request.header("webhook-signature").into_iter().collect();
        let received = signature::Received {
            id: request.header("webhook-id"),
            timestamp: request.header("webhook-timestamp"),
            signatures: &signatures,
            body: &request.body,
        };
        let verdict = verifier.verify(&received, request.at, PATIENCE);
        assert!(verdict.is_ok(), "{}: {verdict:?}", request.uri);
    }
    eventually("everything sealed anew", PATIENCE, async || {
        server.stderr().contains("Earlier master keys seal nothing")
    })
    .await;
}

#[tokio::test]
async fn sealing_anew_that_is_killed_again_and_again_loses_no_secret() {
    const ENDPOINTS: usize = 200;
    if !can_break() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let with = |current: u8, earlier: &str| {
        launch(folder.path())
            .set("SECRETS__MASTER_KEY", &key(current))
            .set("SECRETS__EARLIER_KEYS", earlier)
    };
    let mut server = with(1, "").start().await;
    server.api.create_application("shop").await;
    let mut endpoints = Vec::new();
    for index in 0..ENDPOINTS {
        let to = json!({"url": receiver.url(&format!("/to/{index}"))});
        endpoints.push(server.api.create_endpoint("shop", &to).await);
    }
    server.terminate(PATIENCE).await;

    let mut killed = 0;
    for nth in [4, 8, 11, 13, 17] {
        let call = format!("pwrite64:when={nth}");
        let died = with(2, &key(1))
            .is_killed_at(folder.path(), &call, PAST)
            .await;
        killed += usize::from(died);
        assert_whole(folder.path());
    }

    assert!(killed >= 3, "only {killed} were killed");
    deliver(with(2, &key(1)), &receiver, &endpoints).await;
}

//! What is left of a deleted application in the data directory, as its owner would look for it.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::time::Duration;

use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use testkit::{Launch, Receiver, TestServer, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that a caller can give an application has this in it.
fn filled(name: &str, receiver: &Receiver) -> Value {
    json!({
        "url": receiver.url(&format!("/{name}-path")), "uid": format!("{name}-uid"),
        "description": format!("{name}-description"), "channels": [format!("{name}-channel")],
        "metadata": {format!("{name}-key"): format!("{name}-value")},
        "headers": {"x-note": format!("{name}-header")},
    })
}

async fn an_application(server: &TestServer, receiver: &Receiver, name: &str) {
    let api = &server.api;
    let path = format!("/api/v1/app/{name}-app");
    api.create_application(&format!("{name}-app")).await;
    api.create_endpoint(&format!("{name}-app"), &filled(name, receiver))
        .await;
    for number in 0..30 {
        let payload = format!("{name}-payload ").repeat(1 + number * 40);
        let message = json!({
            "eventType": format!("{name}.happened"), "eventId": format!("{name}-{number}"),
            "channels": [format!("{name}-channel")], "tags": [format!("{name}-tag")],
            "payload": {"text": payload},
        });
        let made = api.post(&format!("{path}/msg"), message.to_string()).await;
        made.expect(202);
    }
    let place = format!("/{name}-path");
    receiver.wait_for(&place, 30, PATIENCE).await;
    let replay = json!({"tag": format!("{name}-tag")}).to_string();
    api.post(&format!("{path}/replay"), replay).await;
    let renamed = json!({"description": format!("{name}-renamed")}).to_string();
    let endpoint = format!("{path}/endpoint/{name}-uid");
    let patched = api.call(Method::PATCH, &endpoint, renamed.into()).await;
    assert_eq!(patched.unwrap().status, 200);
    let key = json!({
        "name": format!("{name}-reader"), "scope": "read", "application": format!("{name}-app"),
    });
    api.post("/api/v1/key", key.to_string()).await.expect(201);
}

/// The files that have these bytes, but for logs of this test.
fn files_with(server: &TestServer, needle: &str) -> Vec<String> {
    let files = std::fs::read_dir(server.data()).unwrap();
    let with = files.filter_map(|file| {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes
            .windows(needle.len())
            .any(|window| window == needle.as_bytes());
        found.then(|| path.display().to_string())
    });
    with.collect()
}

#[tokio::test]
async fn a_deleted_application_is_in_no_file_and_the_trail_verifies() {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste")).set("RETENTION__INTERVAL", "100ms");
    let receiver = Receiver::start().await;
    let mut server = launch.start().await;
    an_application(&server, &receiver, "doomed").await;
    an_application(&server, &receiver, "remain").await;
    assert!(!files_with(&server, "doomed").is_empty());
    let doomed = server.api.get("/api/v1/app/doomed-app").await.expect(200);

    let deleted = server.api.delete("/api/v1/app/doomed-app").await;

    assert_eq!(deleted.status, 204);
    let what = "no file with anything of it";
    let is_gone = async || files_with(&server, "doomed").is_empty();
    eventually(what, PATIENCE, is_gone).await;
    assert!(!files_with(&server, "remain").is_empty());
    let verdict = server.api.get("/api/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], true, "{verdict}");
    let entries = format!("/api/v1/audit?target={}", doomed["id"].as_str().unwrap());
    let entries = server.api.get(&entries).await.expect(200);
    let entries = entries["data"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["application.delete", "application.create"]);
    assert!(entries.iter().all(|entry| entry["erased"] == true));
    // What nobody erased on request must be there.
    server.terminate(PATIENCE).await;
    let database = Connection::open(server.data().join("posthaste.db")).unwrap();
    let remove = "DELETE FROM audit_values WHERE number = (SELECT min(number) FROM audit_values)";
    assert_eq!(database.execute(remove, []), Ok(1));
    drop(database);
    server.start_again().await;
    let verdict = server.api.get("/api/v1/audit/verify").await.expect(200);
    assert_eq!(verdict["valid"], false, "{verdict}");
}

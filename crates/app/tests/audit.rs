//! The audit trail against somebody who can write to the database.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use testkit::{Launch, TestServer};

const PATIENCE: Duration = Duration::from_secs(20);

async fn verdict(server: &TestServer) -> serde_json::Value {
    server.api.get("/api/v1/audit/verify").await.expect(200)
}

#[tokio::test]
async fn an_entry_edited_in_the_file_is_the_first_that_is_named_broken() {
    let mut server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).start().await;
    for uid in ["a", "b", "c", "d"] {
        server.api.create_application(uid).await;
    }
    let whole = verdict(&server).await;
    assert_eq!(whole["valid"], json!(true), "{whole}");
    let newest = whole["newest"].as_i64().unwrap();
    server.terminate(PATIENCE).await;

    let file = std::fs::read_dir(server.data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "db"))
        .unwrap();
    let database = Connection::open(file).unwrap();
    let edited = database
        .execute(
            "UPDATE audit SET target = 'somebody else' WHERE number IN (?1, ?1 - 1)",
            [newest - 1],
        )
        .unwrap();
    assert_eq!(edited, 2);
    drop(database);
    server.start_again().await;

    let broken = verdict(&server).await;
    assert_eq!(broken["valid"], json!(false), "{broken}");
    assert_eq!(broken["firstBroken"], json!(newest - 2), "{broken}");
}

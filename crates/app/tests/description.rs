//! The program against its own description: schemathesis makes requests of all that
//! `openapi.json` allows and forbids, and of each answer it asks whether the description has it.
//!
//! What holds: no 5xx, no status, type, header or shape that is not described, nothing accepted
//! that the description forbids, nothing answered without a key that needs one. Not checked: that
//! whatever the description allows is accepted, as some rules cannot be written down in it.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Launch, TestServer, eventually_some, external, finish};

/// How much it asks: so many made-up requests for each operation, on a slow machine no fewer, and
/// the seed: the same on every change. Longer: for so many seconds, again and again.
const SHORT: [&str; 4] = ["--max-examples", "40", "--seed", "1"];

/// Within this, what the test waits for comes about.
const WITHIN: Duration = Duration::from_secs(20);

/// How many of a kind there are, of what loses its id when it is deleted.
const SEVERAL: usize = 8;

/// What hooks.py lets the requests be about: a server, and the ids that it gave.
async fn server() -> (TestServer, Value) {
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).retries("0s,1s");
    let server = server.start().await;
    server.api.create_application("shop").await;
    for name in ["invoice.paid", "invoice.broken"] {
        let event_type = json!({"name": name, "description": "of a test"}).to_string();
        let created = server.api.post("/api/v1/event-type", event_type).await;
        created.expect(201);
    }
    for uid in ["all", "broken"] {
        // Nothing listens there, so what is made up goes nowhere.
        let endpoint = json!({"url": format!("http://127.0.0.1:9/{uid}"), "uid": uid});
        server.api.create_endpoint("shop", &endpoint).await;
    }
    for number in 1..=3 {
        let message = json!({
            "eventType": "invoice.paid", "eventId": format!("evt-{number}"), "payload": {},
        });
        let path = "/api/v1/app/shop/msg";
        let published = server.api.post(path, message.to_string()).await;
        published.expect(202);
    }
    let attempts = "/api/v1/app/shop/attempt/endpoint/broken?limit=3";
    let attempts = eventually_some("there are attempts", WITHIN, async || {
        let found = ids(&server.api.get(attempts).await.expect(200));
        (found.len() == 3).then_some(found)
    });
    let ids = json!({
        "attempt_id": attempts.await,
        "source_id": several(&server, "/api/v1/app/shop/source", &source()).await,
        "request_id": requests(&server).await,
        "key_id": several(&server, "/api/v1/key", &json!({"name": "spare", "scope": "read"})).await,
        "job_id": jobs(&server).await,
        "task_id": ids(&server.api.get("/api/v1/background-task").await.expect(200)),
    });
    (server, ids)
}

fn source() -> Value {
    let secret = "a secret of thirty-two bytes, say";
    json!({"name": "Repository", "provider": "github", "secrets": [secret]})
}

/// Jobs that have not ended, as they are paused.
async fn jobs(server: &TestServer) -> Vec<Value> {
    let path = "/api/v1/app/shop/replay";
    let body = json!({"since": "2020-01-01T00:00:00Z", "rate": 1});
    let ids = several(server, path, &body).await;
    for id in &ids {
        let pause = format!("{path}/{}/pause", id.as_str().unwrap());
        server.api.post(&pause, "").await.expect(200);
    }
    ids
}

fn ids(list: &Value) -> Vec<Value> {
    let items = list["data"].as_array().unwrap().iter();
    items.map(|item| item["id"].clone()).collect()
}

async fn several(server: &TestServer, path: &str, body: &Value) -> Vec<Value> {
    let mut ids = Vec::new();
    for _ in 0..SEVERAL {
        let answer = server.api.post(path, body.to_string()).await;
        let status = if path.ends_with("/replay") { 202 } else { 201 };
        ids.push(answer.expect(status)["id"].clone());
    }
    ids
}

/// Requests that were taken in as they came.
async fn requests(server: &TestServer) -> Vec<Value> {
    let source = json!({"name": "Open", "uid": "open", "provider": "github", "verify": "none"});
    let path = "/api/v1/app/shop/source";
    let source = server.api.post(path, source.to_string()).await.expect(201);
    let url = source["url"].as_str().unwrap();
    let path = &url[url.find("/in/").unwrap()..];
    for number in 1..=3 {
        let body = json!({"number": number}).to_string();
        server.api.post(path, body).await.expect(200);
    }
    ids(&server.api.get("/api/v1/app/shop/request").await.expect(200))
}

fn schemathesis(server: &TestServer, ids: &Value, report: &Path) -> Option<Command> {
    let python: PathBuf = external::provided("POSTHASTE_TEST_PYTHON")?;
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/schemathesis");
    let files = files.canonicalize().unwrap();
    let longer = std::env::var_os("POSTHASTE_TEST_CONTRACT").unwrap_or_default();
    let longer = longer.to_str().and_then(|text| text.split_once(':'));
    let mut command = Command::new(python.with_file_name("schemathesis"));
    command
        .arg("--config-file")
        .arg(files.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", server.api.url()))
        .args(["--no-color", "--generation-database", "none"])
        .args(["--report", "json"])
        .arg("--report-json-path")
        .arg(report)
        .current_dir(server.scratch())
        .env("SCHEMATHESIS_HOOKS", files.join("hooks.py"))
        .env("POSTHASTE_TEST_TOKEN", &server.api.token)
        .env("POSTHASTE_TEST_IDS", ids.to_string())
        // Nothing is to be left lying beside the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    match longer {
        None => command.args(SHORT),
        Some((seconds, "random")) => command.args(["--max-time", seconds]),
        Some((seconds, seed)) => command.args(["--max-time", seconds, "--seed", seed]),
    };
    Some(command)
}

/// The operations that were not answered with success even once.
fn unreached(report: &Value) -> Vec<&String> {
    let rates = report["valid_rates"].as_object().unwrap().iter();
    let accepted = |phase: &Value| phase["accepted"].as_u64().unwrap() > 0;
    rates
        .filter(|(_, phases)| !phases.as_object().unwrap().values().any(accepted))
        .map(|(operation, _)| operation)
        .collect()
}

#[tokio::test]
async fn every_answer_is_one_that_the_description_has() {
    let (server, ids) = server().await;
    let file = server.scratch().join("report.json");
    let Some(command) = schemathesis(&server, &ids, &file) else {
        return;
    };

    let output = finish(command).await;

    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", server.stderr());
    let report = std::fs::read(&file).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let operations = report["operations"]["selected"].as_u64().unwrap();
    assert_eq!(report["operations"]["tested"], operations, "{printed}");
    // Without this, a server that answers everything with 404 would do as well.
    let unreached = unreached(&report);
    assert!(
        unreached.len() * 5 <= usize::try_from(operations).unwrap(),
        "of {operations} operations these never succeeded: {unreached:#?}\n{printed}"
    );
    println!("of {operations} operations these never succeeded: {unreached:#?}\n{printed}");
}

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

/// What hooks.py lets the requests be about.
async fn server() -> TestServer {
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
    for uid in ["inbound", "spare"] {
        let source = json!({"name": uid, "uid": uid, "provider": "github", "secrets": ["s"]});
        let path = "/api/v1/app/shop/source";
        server.api.post(path, source.to_string()).await.expect(201);
    }
    server
}

/// Lets a source receive something, and returns the request's id.
async fn request(server: &TestServer) -> String {
    let source = "/api/v1/app/shop/source/inbound";
    let url = server.api.get(source).await.expect(200)["url"].clone();
    let (_, token) = url.as_str().unwrap().split_once("/in/").unwrap();
    let headers = [("x-hub-signature-256".to_owned(), "sha256=0".to_owned())];
    let path = format!("/in/{token}");
    let call = ("POST", path.as_str());
    let refused = server.api.deliver(call, &headers, "{}").await;
    assert_eq!(refused.status, 401);
    let list = "/api/v1/app/shop/request";
    let kept = || async {
        let page = server.api.get(list).await.expect(200);
        page["data"][0]["id"].as_str().map(str::to_owned)
    };
    eventually_some("the request in the log", Duration::from_secs(30), kept).await
}

fn schemathesis(server: &TestServer, report: &Path, request: &str) -> Option<Command> {
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
        .env("POSTHASTE_TEST_REQUEST", request)
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

/// How many operations were answered with success at least once.
fn reached(report: &Value) -> usize {
    let rates = report["valid_rates"].as_object().unwrap().values();
    let accepted = |phase: &Value| phase["accepted"].as_u64().unwrap() > 0;
    rates
        .filter(|phases| phases.as_object().unwrap().values().any(accepted))
        .count()
}

#[tokio::test]
async fn every_answer_is_one_that_the_description_has() {
    let server = server().await;
    let file = server.scratch().join("report.json");
    let request = request(&server).await;
    let Some(command) = schemathesis(&server, &file, &request) else {
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
    let reached = reached(&report);
    assert!(
        reached * 4 >= usize::try_from(operations).unwrap() * 3,
        "only {reached} of {operations} operations succeeded:\n{printed}"
    );
    println!("{reached} of {operations} operations succeeded\n{printed}");
}

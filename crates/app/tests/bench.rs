//! The benchmark runs against the program as it is, and its every scenario delivers everything.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::process::Command;

use serde_json::Value;
use testkit::{Launch, external, finish};

#[tokio::test]
async fn every_scenario_of_the_benchmark_runs_and_loses_nothing() {
    let Some(program) = external::provided("POSTHASTE_BENCH") else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let figures = scratch.path().join("figures.json");
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let mut command = Command::new(program);
    command.args(["--short", "--json"]).arg(&figures);
    command.arg("--data").arg(scratch.path().join("data"));
    command.arg("--server").arg(server.program());

    let output = finish(command).await;

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures: Value = serde_json::from_slice(&std::fs::read(&figures).unwrap()).unwrap();
    let sections = figures["sections"].as_array().unwrap();
    assert!(sections.len() >= 9, "{} scenarios ran", sections.len());
    for section in sections {
        assert_eq!(section["lost"], 0, "{section}");
        assert!(section["complaint"].is_null(), "{section}");
    }
}

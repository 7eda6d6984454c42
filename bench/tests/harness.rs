//! The harness tried on itself, with the bare relay in the server's place.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(program: &str, directory: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the program was built")
}

#[test]
fn a_round_of_the_relay_delivers_everything_once_and_says_so_in_json() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "five",
        "quiet",
        "--short",
        "--relay-only",
        "--json",
        "figures.json",
    ];

    let output = run(env!("CARGO_BIN_EXE_bench"), directory.path(), &arguments);

    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(directory.path().join("figures.json")).unwrap();
    let figures: Value = serde_json::from_str(&text).unwrap();
    for section in figures["sections"].as_array().unwrap() {
        let round = &section["figures"][0]["rounds"][0];
        assert!(round["accepted"].as_u64().unwrap() > 0, "{round}");
        assert_eq!(
            (&round["lost"], &round["repeated"]),
            (&0.into(), &0.into()),
            "{round}"
        );
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("| relay |"));
}

/// The canary: the relay promises what it does not keep, so a lab that lets it pass is broken.
#[test]
fn a_server_that_stores_nothing_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let server = env!("CARGO_BIN_EXE_bench");
    let arguments = [
        "kill",
        "--kills",
        "1",
        "--settle-seconds",
        "2",
        "--seed",
        "1",
    ];
    let stand_in = ["--server", server, "--subcommand", "role-relay"];

    let arguments = [arguments.as_slice(), &stand_in].concat();
    let output = run(env!("CARGO_BIN_EXE_crashlab"), directory.path(), &arguments);

    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{printed}");
    assert!(
        printed.contains("accepted and not delivered to every endpoint"),
        "{printed}"
    );
}

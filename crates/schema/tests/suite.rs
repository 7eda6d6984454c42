//! Runs the official test suite of JSON Schema, draft 2020-12, when it is there.
//!
//! `POSTHASTE_SCHEMA_SUITE` names its folder `tests/draft2020-12` at build time. Left out is what
//! needs another document, which is never fetched.

use std::fs;
use std::path::Path;

use posthaste_schema::{Bounds, Schema};
use serde_json::Value;

const SUITE: Option<&str> = option_env!("POSTHASTE_SCHEMA_SUITE");

#[test]
#[ignore = "needs the suite, which is not part of this repository"]
fn the_official_suite_agrees() {
    let folder = Path::new(SUITE.expect("POSTHASTE_SCHEMA_SUITE names the suite"));
    let (mut tried, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let groups: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for group in groups {
            let name = format!("{} {}", path.display(), group["description"]);
            let schema = match Schema::compile(&group["schema"], Bounds::default()) {
                Ok(schema) => schema,
                Err(error) if error.why.contains("another document") => continue,
                Err(error) if error.place == ["$schema"] => continue,
                Err(error) => {
                    wrong.push(format!("{name}: {:?} {error}", error.place));
                    continue;
                }
            };
            for test in group["tests"].as_array().unwrap() {
                tried += 1;
                let valid = schema.check(&test["data"]).is_ok();
                if Value::Bool(valid) != test["valid"] {
                    wrong.push(format!("{name}: {}", test["description"]));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried > 1_000, "{tried}");
}

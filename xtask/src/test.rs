//! `cargo xtask test`: installs what the tests need, builds the program, runs every test.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::clients;
use crate::process::{cargo, program, root, target};
use crate::summary::Summary;

/// Builds the program as it ships, and keeps a copy that later builds do not touch: building the
/// tests turns on test-only features of our own crates and writes the program anew.
pub(crate) fn build() -> Result<PathBuf> {
    cargo(&["build", "--release", "-p", "posthaste"]).run()?;
    let kept = target().join("shipped").join("posthaste");
    fs::create_dir_all(kept.parent().expect("it has a folder"))?;
    let built = target().join("release").join("posthaste");
    // A running copy cannot be written to; a new file in its place can.
    let fresh = kept.with_extension("new");
    fs::copy(&built, &fresh).with_context(|| format!("no program at {}", built.display()))?;
    fs::rename(&fresh, &kept)?;
    Ok(kept)
}

/// Runs the tests; the last line printed sums them up. `args` go to `cargo test` instead of
/// `--workspace`.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let clients = clients::install()?;
    let built = build()?;
    cargo(&["build", "--release", "-p", "posthaste-bench"]).run()?;
    let tools = target().join("release");
    let mut summary = Summary::default();
    let chosen = if args.is_empty() {
        &["--workspace".to_owned()]
    } else {
        args
    };
    let passed = cargo(&["test", "--release", "--no-fail-fast"])
        .args(chosen)
        .env("POSTHASTE_BIN", built)
        .env("POSTHASTE_BENCH", tools.join("bench"))
        .env("POSTHASTE_CRASHLAB", tools.join("crashlab"))
        .env("POSTHASTE_TEST_PYTHON", clients.python)
        .env("POSTHASTE_TEST_NODE_MODULES", clients.node_modules)
        .env("POSTHASTE_TEST_RUST_CLIENT", clients.rust)
        .watch(|line| summary.look(line))?;
    println!("\n{summary}");
    if !passed || summary.failed > 0 {
        bail!("not every test passed");
    }
    if summary.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// Runs the test of the description for longer; a random seed unless one is named.
pub(crate) fn contract(args: &[String]) -> Result<()> {
    let seconds = args.first().map_or("600", String::as_str);
    let seed = args.get(1).map_or("random", String::as_str);
    let clients = clients::install()?;
    cargo(&[
        "test",
        "--release",
        "-p",
        "posthaste",
        "--test",
        "description",
    ])
    .args(["--", "--nocapture"])
    .env("POSTHASTE_BIN", build()?)
    .env("POSTHASTE_TEST_PYTHON", clients.python)
    .env("POSTHASTE_TEST_CONTRACT", format!("{seconds}:{seed}"))
    .run()
}

/// Runs every fuzz target for longer, from another start each time.
pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    let seconds = args.first().map_or("60", String::as_str);
    let targets: [(&str, &[&str]); 4] = [
        (
            "posthaste-fuzz",
            &["--test", "parsers", "--test", "schemes"],
        ),
        ("posthaste-api", &["--lib", "tests::fuzz"]),
        ("posthaste-engine", &["--lib", "no_text_breaks_it"]),
        ("posthaste", &["--bins", "no_file_breaks_it"]),
    ];
    for (package, chosen) in targets {
        cargo(&["test", "--release", "-p", package])
            .args(chosen)
            .args(["--", "--nocapture"])
            .env("POSTHASTE_FUZZ_SECONDS", seconds)
            .run()?;
    }
    Ok(())
}

/// Writes `docs/openapi.json` anew: the description that a test compares with the program's.
pub(crate) fn openapi() -> Result<()> {
    let description = program(build()?).args(["openapi"]).read()?;
    serde_json::from_slice::<serde_json::Value>(&description)
        .context("`posthaste openapi` did not print JSON")?;
    let path = root().join("docs").join("openapi.json");
    fs::write(&path, description)?;
    println!("wrote {}", path.display());
    Ok(())
}

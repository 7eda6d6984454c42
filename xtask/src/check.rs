//! `cargo xtask check`: everything that reads the code without running it.

use anyhow::Result;

use crate::process::cargo;
use crate::tidy;

pub(crate) fn check() -> Result<()> {
    cargo(&["fmt", "--all", "--", "--check"]).run()?;
    // The quickest to say no goes first.
    tidy::tidy()?;
    cargo(&[
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
    .run()?;
    cargo(&["doc", "--release", "--no-deps", "--workspace"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

//! `cargo xtask tidy`: what this repository promises about itself and no compiler checks.
//!
//! Each rule is a function from what it looks at (cargo's metadata, a file's text, a list of
//! names) to violations, so that its tests need no repository. This file walks the checkout and
//! feeds them.

mod direction;
mod errors;
mod mask;
mod migrations;
mod modules;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root};

/// Something that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// What it was found in: a path below the root, or a package.
    place: String,
    /// The line, counted from 1; 0 if it is about the whole.
    line: usize,
    what: String,
}

impl Violation {
    fn new(place: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.place, self.what),
            line => write!(f, "{}:{line}: {}", self.place, self.what),
        }
    }
}

/// Looks at the whole checkout; an error if anything is not as promised.
pub(crate) fn tidy() -> Result<()> {
    println!("$ tidy");
    let checkout = Checkout::read(&root())?;
    let mut found = direction::check(&metadata()?);
    for file in &checkout.files {
        found.extend(source::check(&file.path, &file.text));
    }
    found.extend(source::leftovers(&checkout.paths));
    found.extend(modules::check(&checkout.files));
    found.extend(migrations::check(&checkout.paths));
    found.extend(errors::check(&checkout.files));
    if found.is_empty() {
        return Ok(());
    }
    found.sort();
    for violation in &found {
        eprintln!("{violation}");
    }
    bail!("tidy: {} found", found.len());
}

fn metadata() -> Result<serde_json::Value> {
    // One platform, or cargo fetches what the others would need just to describe it.
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let json = cargo(&["metadata", "--format-version", "1", "--locked"])
        .args(platform)
        .read()?;
    serde_json::from_slice(&json).context("cargo printed no metadata")
}

/// A text file of the checkout.
pub(crate) struct File {
    /// Below the root, with `/` between its parts.
    path: String,
    text: String,
}

/// What lies in the checkout, apart from hidden folders and what was built.
struct Checkout {
    paths: Vec<String>,
    files: Vec<File>,
}

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 4] = ["target", "node_modules", "posthaste-data", "__pycache__"];

/// The kinds of files that are read; others are known by name only.
const TEXT: [&str; 10] = [
    "rs", "toml", "md", "sql", "py", "mjs", "js", "css", "sh", "yml",
];

impl Checkout {
    fn read(root: &Path) -> Result<Self> {
        let mut checkout = Self {
            paths: Vec::new(),
            files: Vec::new(),
        };
        checkout
            .walk(root, root)
            .with_context(|| root.display().to_string())?;
        checkout.paths.sort();
        checkout.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(checkout)
    }

    fn walk(&mut self, root: &Path, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci";
                if !hidden && !SKIPPED.contains(&name.as_str()) {
                    self.walk(root, &path)?;
                }
            } else {
                self.add(root, &path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, root: &Path, path: &Path) -> Result<()> {
        let below = path
            .strip_prefix(root)
            .expect("the walk starts at the root");
        let shown = shown(below);
        if TEXT.iter().any(|kind| is_kind(&shown, kind)) || shown == ".ci/run" {
            let text = fs::read_to_string(path).with_context(|| shown.clone())?;
            self.files.push(File {
                path: shown.clone(),
                text,
            });
        }
        self.paths.push(shown);
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    let parts: PathBuf = path.components().collect();
    parts.to_string_lossy().replace('\\', "/")
}

/// Whether a file's name ends in a full stop and `kind`.
fn is_kind(path: &str, kind: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == kind)
}

//! Every error has a page, and every page an error.
//!
//! The slugs are the strings in the function `slug` of the crate `api`; the page of `x` is
//! `docs/errors/x.md`. Clients are sent to that page, so a missing one is a broken promise, and
//! one too many describes what cannot happen.

use std::collections::BTreeSet;

use super::{File, Violation};

const API: &str = "crates/api/src/";
const PAGES: &str = "docs/errors/";
/// The function that says the slug of each error, by a `match` with one string an arm.
const FUNCTION: &str = "const fn slug(";

/// Checks the slugs against the pages, both ways.
pub(crate) fn check(files: &[File]) -> Vec<Violation> {
    let source = files
        .iter()
        .find(|file| file.path.starts_with(API) && file.text.contains(FUNCTION));
    let slugs = source.map(|file| slugs(&file.text)).unwrap_or_default();
    let pages: BTreeSet<&str> = files.iter().filter_map(|file| page(&file.path)).collect();
    let place = source.map_or(API, |file| &file.path);
    let unexplained = slugs
        .iter()
        .filter(|slug| !pages.contains(*slug))
        .map(|slug| Violation::new(place, 0, format!("`{slug}` has no page {PAGES}{slug}.md")));
    let unknown = pages
        .iter()
        .filter(|page| !slugs.contains(*page))
        .map(|page| Violation::new(&format!("{PAGES}{page}.md"), 0, "is the page of no error"));
    unexplained.chain(unknown).collect()
}

fn page(path: &str) -> Option<&str> {
    let name = path.strip_prefix(PAGES)?.strip_suffix(".md")?;
    (name != "README").then_some(name)
}

/// The strings in the function's body.
fn slugs(text: &str) -> BTreeSet<&str> {
    let after = text
        .split_once(FUNCTION)
        .expect("the file was found by it")
        .1;
    // The closing brace of a method, as rustfmt lays it out.
    let body = after
        .split_once("\n    }\n")
        .map_or(after, |(body, _)| body);
    body.split('"').skip(1).step_by(2).collect()
}

//! Every error has a page, and every page an error.
//!
//! The slugs are those of the list `SLUGS` in the source of the crate `api`; the page of `x` is
//! `docs/errors/x.md`. Clients are sent to that page, so a missing one is a broken promise, and
//! one too many describes what cannot happen.

use std::collections::BTreeSet;

use super::{File, Violation};

const API: &str = "crates/api/src/";
const PAGES: &str = "docs/errors/";
/// How the list starts: `pub const SLUGS: [&str; 3] = [` or `pub const SLUGS: &[&str] = &[`.
const LIST: &str = "const SLUGS:";

/// Checks the list against the pages, both ways.
pub(crate) fn check(files: &[File]) -> Vec<Violation> {
    let list = files
        .iter()
        .find(|file| file.path.starts_with(API) && file.text.contains(LIST));
    let slugs = list.map(|file| slugs(&file.text)).unwrap_or_default();
    let pages: BTreeSet<&str> = files.iter().filter_map(|file| page(&file.path)).collect();
    let place = list.map_or(API, |file| &file.path);
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

/// The strings between the brackets of the list.
fn slugs(text: &str) -> BTreeSet<&str> {
    let list = text.split_once(LIST).expect("the file was found by it").1;
    let values = list.split_once('=').map_or("", |(_, values)| values);
    let values = values.split_once("];").map_or(values, |(values, _)| values);
    values.split('"').skip(1).step_by(2).collect()
}

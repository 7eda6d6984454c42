//! Migrations: numbered from 1 without gaps, and alike in every backend.

use std::collections::BTreeMap;

use super::{Violation, is_kind};

/// Checks the names of all files below a `migrations` folder, as in `0001_first_tables.sql`.
pub(crate) fn check(paths: &[String]) -> Vec<Violation> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in paths {
        let Some((folder, name)) = path.rsplit_once('/') else {
            continue;
        };
        if folder.ends_with("/migrations") {
            folders.entry(folder).or_default().push(name);
        }
    }
    folders
        .into_iter()
        .flat_map(|(folder, names)| check_folder(folder, names))
        .collect()
}

fn check_folder(folder: &str, mut names: Vec<&str>) -> Vec<Violation> {
    names.sort_unstable();
    let mut found = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let expected = index + 1;
        let number = name.split_once('_').filter(|_| is_kind(name, "sql"));
        if number.is_none_or(|(number, _)| number != format!("{expected:04}")) {
            let what = format!("should be called {expected:04}_….sql: no gaps, no repeats");
            found.push(Violation::new(&format!("{folder}/{name}"), 0, what));
        }
    }
    found
}

//! No dead file: every source file is a module that another file declares.
//!
//! A file that nobody declares compiles never, fails never, and is edited in vain.

use super::mask::mask;
use super::{File, Violation, is_kind};

/// Checks all source files against each other.
pub(crate) fn check(files: &[File]) -> Vec<Violation> {
    let sources: Vec<&File> = files.iter().filter(|file| is_module(&file.path)).collect();
    sources
        .iter()
        .filter(|file| !is_root(&file.path) && !is_declared(&file.path, &sources))
        .map(|file| Violation::new(&file.path, 0, "is no module: nothing declares it"))
        .collect()
}

fn is_module(path: &str) -> bool {
    is_kind(path, "rs") && path.contains("/src/")
}

/// Files that cargo finds by itself.
fn is_root(path: &str) -> bool {
    let below = path.split_once("/src/").expect("it is below a `src`").1;
    matches!(below, "lib.rs" | "main.rs") || below.starts_with("bin/")
}

fn is_declared(path: &str, sources: &[&File]) -> bool {
    let (folder, file) = path.rsplit_once('/').expect("it is below a `src`");
    // `a/mod.rs` is the module `a`, declared where a file `a.rs` would be.
    let (folder, name) = match file {
        "mod.rs" => folder.rsplit_once('/').expect("it is below a `src`"),
        _ => (folder, file.trim_end_matches(".rs")),
    };
    let parents = [
        format!("{folder}/lib.rs"),
        format!("{folder}/main.rs"),
        format!("{folder}/mod.rs"),
        format!("{folder}.rs"),
    ];
    let declares = |source: &&&File| {
        let by_name =
            parents.contains(&source.path) && mask(&source.text).contains(&format!("mod {name};"));
        by_name || source.text.contains(&format!("#[path = \"{file}\"]"))
    };
    sources.iter().any(|source| declares(&source))
}

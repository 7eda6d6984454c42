//! Makes a table of every page in `docs/`, so that a page is served because it is there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    // Asked when it runs: a tree that was moved brings this program along as it was built.
    let here = env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    let docs = Path::new(&here)
        .join("../../docs")
        .canonicalize()
        .expect("the folder of the documentation");
    println!("cargo::rerun-if-changed={}", docs.display());
    let mut pages = Vec::new();
    collect(&docs, &mut pages);
    pages.sort();
    let mut table = String::from("&[\n");
    for path in pages {
        let name = path.strip_prefix(&docs).expect("it lies below");
        let name = name.with_extension("");
        let (name, path) = (name.display().to_string(), path.display().to_string());
        writeln!(table, "    ({name:?}, include_str!({path:?})),")
            .expect("a string takes everything");
    }
    table.push_str("]\n");
    #[allow(
        clippy::disallowed_methods,
        reason = "how cargo tells a build script where to write"
    )]
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("pages.rs"), table).expect("cargo's folder can be written");
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder).expect("the folder of the documentation") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            pages.push(path.canonicalize().expect("it is there"));
        }
    }
}

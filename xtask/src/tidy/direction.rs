//! Which crate may use which.
//!
//! Dependencies point from what acts to what it acts with: the words at the bottom, the binary at
//! the top. The table is the whole rule; a crate that is not in it is a violation until somebody
//! has thought about its place. Development dependencies are exempt: a test may use anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Violation;

/// A crate of ours and what it may use of ours.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("signature", &["domain"]),
    ("inbound", &["signature", "domain"]),
    ("vault", &["domain"]),
    ("schema", &[]),
    ("rules", &["domain"]),
    ("store", &["domain"]),
    ("env", &["domain"]),
    ("store-sqlite", &["store", "domain"]),
    ("store-postgres", &["store", "domain"]),
    ("egress", &["env", "domain"]),
    (
        "engine",
        &["store", "env", "rules", "signature", "vault", "domain"],
    ),
    (
        "service",
        &[
            "engine",
            "store",
            "env",
            "rules",
            "inbound",
            "signature",
            "vault",
            "schema",
            "domain",
        ],
    ),
    ("api", &["service", "domain"]),
    ("web", &["service", "domain"]),
    ("cli", &["inbound", "signature", "domain"]),
];

/// The binary and the tools beside it may use anything of ours; nothing shipped may use a tool.
const ABOVE_ALL: [&str; 1] = ["app"];
const TOOLS: [&str; 5] = ["testkit", "sim", "bench", "xtask", "fuzz"];

/// Crates that stay pure, and what their whole tree must therefore not contain.
const PURE: [&str; 6] = ["domain", "signature", "inbound", "vault", "schema", "rules"];
const IMPURE: [&str; 5] = ["tokio", "axum", "hyper", "rusqlite", "tokio-postgres"];

/// Drivers of databases, which only the backends may name.
const DRIVERS: [&str; 3] = ["rusqlite", "tokio-postgres", "libsqlite3-sys"];

/// Checks what `cargo metadata` printed.
pub(crate) fn check(metadata: &Value) -> Vec<Violation> {
    let graph = Graph::of(metadata);
    let mut found = Vec::new();
    for id in &graph.ours {
        let name = graph.short(id);
        let place = format!("crate {name}");
        for used in graph.uses(id) {
            if let Some(what) = refused(&name, &graph.short(used), graph.ours.contains(used)) {
                found.push(Violation::new(&place, 0, what));
            }
        }
        if PURE.contains(&name.as_str()) {
            for (impure, by) in graph.impurities(id) {
                found.push(Violation::new(
                    &place,
                    0,
                    format!("is pure, but {by} uses {impure}"),
                ));
            }
        }
    }
    found
}

/// Why `name` may not use `used`.
fn refused(name: &str, used: &str, is_ours: bool) -> Option<String> {
    let is_tool = TOOLS.contains(&name);
    let is_backend = name.starts_with("store-");
    if !is_ours {
        let refused = DRIVERS.contains(&used) && !is_backend && !is_tool;
        return refused.then(|| format!("uses {used}, which only the backends may"));
    }
    if is_tool {
        return None;
    }
    if TOOLS.contains(&used) {
        return Some(format!("uses {used}, which is a tool and not shipped"));
    }
    if ABOVE_ALL.contains(&name) {
        return None;
    }
    match ALLOWED.iter().find(|(known, _)| *known == name) {
        None => Some("has no place in the table of xtask/src/tidy/direction.rs".to_owned()),
        Some((_, allowed)) if allowed.contains(&used) => None,
        Some(_) => Some(format!(
            "uses {used}, against the direction of dependencies"
        )),
    }
}

/// Who uses whom, by package id, without development dependencies.
struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    uses: BTreeMap<&'a str, Vec<&'a str>>,
    ours: BTreeSet<&'a str>,
}

impl<'a> Graph<'a> {
    fn of(metadata: &'a Value) -> Self {
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        let names = list(&metadata["packages"])
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let uses = list(&metadata["resolve"]["nodes"])
            .map(|node| {
                let deps = list(&node["deps"]).filter(|dep| is_shipped(dep));
                (
                    text(&node["id"]),
                    deps.map(|dep| text(&dep["pkg"])).collect(),
                )
            })
            .collect();
        let ours = list(&metadata["workspace_members"]).map(text).collect();
        Self { names, uses, ours }
    }

    /// The name in the table: ours without the common prefix, `posthaste` itself is `app`.
    fn short(&self, id: &str) -> String {
        let name = self.names.get(id).copied().unwrap_or(id);
        if self.ours.contains(id) {
            match name.strip_prefix("posthaste") {
                Some("") => return "app".to_owned(),
                Some(rest) => return rest.trim_start_matches('-').to_owned(),
                None => {}
            }
        }
        name.to_owned()
    }

    fn uses(&self, id: &str) -> impl Iterator<Item = &'a str> {
        self.uses.get(id).into_iter().flatten().copied()
    }

    /// What the whole tree below `id` contains of the impure, with who brought it in.
    fn impurities(&self, id: &'a str) -> Vec<(String, String)> {
        let mut seen = BTreeSet::from([id]);
        let mut ahead = vec![id];
        let mut found = Vec::new();
        while let Some(next) = ahead.pop() {
            for used in self.uses(next) {
                let name = self.short(used);
                if IMPURE.contains(&name.as_str()) {
                    found.push((name, self.short(next)));
                } else if seen.insert(used) {
                    ahead.push(used);
                }
            }
        }
        found
    }
}

/// Whether a dependency is more than a development one.
fn is_shipped(dep: &Value) -> bool {
    list(&dep["dep_kinds"]).any(|kind| kind["kind"].as_str() != Some("dev"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

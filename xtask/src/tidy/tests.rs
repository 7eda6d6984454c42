//! Each rule finds its violation, and leaves alone what only looks like one.

use serde_json::{Value, json};

use super::*;

fn whats(found: impl IntoIterator<Item = Violation>) -> Vec<String> {
    found
        .into_iter()
        .map(|violation| violation.to_string())
        .collect()
}

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// A package and what it depends on, each with the kind of dependency.
type Uses<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

/// Metadata of packages that are all ours, unless their name starts with `extern-`.
fn metadata(uses: &[Uses<'_>]) -> Value {
    let packages: Vec<Value> = uses
        .iter()
        .map(|(name, _)| json!({"id": name, "name": name}))
        .collect();
    let nodes: Vec<Value> = uses
        .iter()
        .map(|(name, deps)| {
            let deps: Vec<Value> = deps
                .iter()
                .map(|(dep, kind)| json!({"pkg": dep, "dep_kinds": [{"kind": kind}]}))
                .collect();
            json!({"id": name, "deps": deps})
        })
        .collect();
    let ours: Vec<&str> = uses
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.starts_with("posthaste"))
        .collect();
    json!({"packages": packages, "resolve": {"nodes": nodes}, "workspace_members": ours})
}

#[test]
fn dependencies_that_point_down_are_fine() {
    let found = direction::check(&metadata(&[
        (
            "posthaste",
            &[("posthaste-api", None), ("posthaste-store-sqlite", None)],
        ),
        ("posthaste-api", &[("posthaste-domain", None)]),
        (
            "posthaste-store-sqlite",
            &[("posthaste-domain", None), ("rusqlite", None)],
        ),
        ("posthaste-domain", &[]),
        ("rusqlite", &[]),
    ]));

    assert_eq!(whats(found), [""; 0]);
}

#[test]
fn a_dependency_that_points_up_or_names_a_backend_is_found() {
    let found = direction::check(&metadata(&[
        ("posthaste-engine", &[("posthaste-store-sqlite", None)]),
        ("posthaste-store", &[("posthaste-engine", None)]),
        ("posthaste-store-sqlite", &[]),
    ]));

    assert_eq!(
        whats(found),
        [
            "crate engine: uses store-sqlite, against the direction of dependencies",
            "crate store: uses engine, against the direction of dependencies",
        ]
    );
}

#[test]
fn a_test_may_use_anything() {
    let found = direction::check(&metadata(&[
        (
            "posthaste-engine",
            &[("posthaste-store-sqlite", Some("dev"))],
        ),
        ("posthaste-store-sqlite", &[]),
    ]));

    assert_eq!(whats(found), [""; 0]);
}

#[test]
fn a_crate_without_a_place_in_the_table_is_found() {
    let found = direction::check(&metadata(&[
        ("posthaste-novelty", &[("posthaste-domain", None)]),
        ("posthaste-domain", &[]),
    ]));

    assert_eq!(
        whats(found),
        ["crate novelty: has no place in the table of xtask/src/tidy/direction.rs"]
    );
}

#[test]
fn a_pure_crate_that_reaches_tokio_through_another_is_found() {
    let found = direction::check(&metadata(&[
        ("posthaste-signature", &[("harmless", None)]),
        ("harmless", &[("tokio", None)]),
        ("tokio", &[]),
    ]));

    assert_eq!(
        whats(found),
        ["crate signature: is pure, but harmless uses tokio"]
    );
}

#[test]
fn a_database_driver_outside_of_the_backends_is_found() {
    let found = direction::check(&metadata(&[
        ("posthaste", &[("rusqlite", None)]),
        ("posthaste-store-sqlite", &[("rusqlite", None)]),
        ("rusqlite", &[]),
    ]));

    assert_eq!(
        whats(found),
        ["crate app: uses rusqlite, which only the backends may"]
    );
}

#[test]
fn a_shipped_crate_that_uses_a_tool_is_found() {
    let found = direction::check(&metadata(&[
        ("posthaste", &[("posthaste-testkit", None)]),
        ("posthaste-testkit", &[]),
    ]));

    assert_eq!(
        whats(found),
        ["crate app: uses testkit, which is a tool and not shipped"]
    );
}

#[test]
fn a_wide_line_is_found_unless_a_reason_stands_above_it() {
    let wide = format!("let url = \"{}\";", "x".repeat(100));
    let excused = format!("// {}-wide: a URL cannot be broken\n{wide}\n", "tidy");
    let unreasoned = format!("// {}-wide:\n{wide}\n", "tidy");

    let found = source::check("crates/a/src/lib.rs", &format!("ok();\n{wide}\n"));

    assert_eq!(
        whats(found),
        ["crates/a/src/lib.rs:2: is 113 columns wide, more than 100"]
    );
    assert_eq!(
        whats(source::check("crates/a/src/lib.rs", &excused)),
        [""; 0]
    );
    assert_eq!(source::check("crates/a/src/lib.rs", &unreasoned).len(), 1);
}

#[test]
fn columns_are_characters_and_not_bytes() {
    let line = format!("// {}", "é".repeat(97));

    assert_eq!(whats(source::check("crates/a/src/lib.rs", &line)), [""; 0]);
}

fn function_of(lines: usize) -> String {
    format!(
        "impl A {{\n    pub(crate) async fn long(&self) {{\n{}    }}\n}}\n",
        "\n".repeat(lines)
    )
}

#[test]
fn a_function_of_more_than_seventy_lines_is_found() {
    assert_eq!(
        whats(source::check("crates/a/src/lib.rs", &function_of(68))),
        [""; 0]
    );
    assert_eq!(
        whats(source::check("crates/a/src/lib.rs", &function_of(69))),
        ["crates/a/src/lib.rs:2: `long` has 71 lines, more than 70"]
    );
}

#[test]
fn tests_may_be_as_long_as_they_are() {
    let text = function_of(900);

    assert_eq!(
        whats(source::check("crates/a/src/lane/tests.rs", &text)),
        [""; 0]
    );
    assert_eq!(
        whats(source::check("crates/a/tests/wide.rs", &text)),
        [""; 0]
    );
}

#[test]
fn braces_in_literals_and_comments_do_not_count() {
    let tricks = r##"
fn tricky<'a>(open: char, text: &'a str) -> usize {
    // a { in a comment, /* and this opens nothing
    let quote = '"';
    let brace = '{';
    let escaped = "\"{";
    let raw = r#"{ fn fake() {"{"#;
    let bytes = br"{";
    /* nested /* { */ { */
    0
}
"##;
    let text = format!("{tricks}{}", "// after\n".repeat(90));

    assert_eq!(whats(source::check("crates/a/src/lib.rs", &text)), [""; 0]);
}

#[test]
fn a_declaration_without_a_body_is_not_measured_by_what_follows() {
    let text = format!(
        "trait A {{\n    fn a(&self) -> [u8; 4];\n{}}}\n",
        "\n".repeat(80)
    );

    assert_eq!(whats(source::check("crates/a/src/lib.rs", &text)), [""; 0]);
}

#[test]
fn a_long_file_is_found_and_its_tests_count_apart() {
    let code = "// code\n".repeat(790);
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "// a test\n".repeat(50)
    );
    let longer = "// more\n".repeat(10);

    assert_eq!(
        whats(source::check(
            "crates/a/src/lib.rs",
            &format!("{code}{tests}")
        )),
        [""; 0]
    );
    assert_eq!(
        whats(source::check(
            "crates/a/src/lib.rs",
            &format!("{code}{longer}{tests}")
        )),
        ["crates/a/src/lib.rs: has 800 lines apart from its tests"]
    );
}

#[test]
fn unfinished_work_is_found_in_any_text_but_not_inside_of_a_word() {
    let word = concat!("TO", "DO");
    let found = source::check(
        "docs/a.md",
        &format!("Later.\n{word}: write this\nMAS{word}NS\n"),
    );

    assert_eq!(whats(found), [format!("docs/a.md:2: says {word}")]);
}

#[test]
fn an_unaccepted_snapshot_is_found() {
    let name = concat!("crates/a/src/snapshots/x.snap", ".new").to_owned();

    let found = source::leftovers(&[name, "crates/a/src/snapshots/x.snap".to_owned()]);

    assert_eq!(found.len(), 1);
}

#[test]
fn a_file_that_no_module_declares_is_found() {
    let found = modules::check(&[
        file(
            "crates/a/src/lib.rs",
            "mod lane;\nmod pace;\n// mod dead;\n",
        ),
        file(
            "crates/a/src/lane.rs",
            "mod queue;\n#[cfg(test)]\nmod tests;\n",
        ),
        file("crates/a/src/lane/queue.rs", ""),
        file("crates/a/src/lane/tests.rs", ""),
        file("crates/a/src/pace/mod.rs", "mod clock;"),
        file("crates/a/src/pace/clock.rs", ""),
        file("crates/a/src/dead.rs", ""),
        file("crates/a/src/bin/tool.rs", ""),
        file("crates/a/tests/publish.rs", ""),
    ]);

    assert_eq!(
        whats(found),
        ["crates/a/src/dead.rs: is no module: nothing declares it"]
    );
}

#[test]
fn a_gap_or_a_repeat_in_the_migrations_is_found() {
    let paths = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("crates/store-sqlite/migrations/{name}"))
            .collect()
    };

    assert_eq!(
        whats(migrations::check(&paths(&["0001_a.sql", "0002_b.sql"]))),
        [""; 0]
    );
    assert_eq!(
        migrations::check(&paths(&["0001_a.sql", "0003_b.sql"])).len(),
        1
    );
    assert_eq!(
        migrations::check(&paths(&["0001_a.sql", "0001_b.sql"])).len(),
        1
    );
    assert_eq!(migrations::check(&paths(&["0001_a.txt"])).len(), 1);
}

#[test]
fn errors_and_their_pages_must_match_both_ways() {
    let source = "impl Code {
    pub const fn slug(self) -> &'static str {
        match self {
            Self::NotFound => \"not_found\",
            Self::Conflict => \"conflict\",
        }
    }

    fn detail() -> &'static str {
        \"other\"
    }
}
";

    let found = errors::check(&[
        file("crates/api/src/problem.rs", source),
        file("docs/errors/not_found.md", ""),
        file("docs/errors/haunted.md", ""),
        file("docs/errors/README.md", ""),
    ]);

    assert_eq!(
        whats(found),
        [
            "crates/api/src/problem.rs: `conflict` has no page docs/errors/conflict.md",
            "docs/errors/haunted.md: is the page of no error",
        ]
    );
}

//! The documentation's examples, run as a reader would type them.
//!
//! A page is run from top to bottom in one shell, beside a server and a receiver of its own that
//! stand where the page says they do. Of its fenced blocks
//! - `sh` is run; a failing command fails the page;
//! - `text` right after it must be found in what it printed, `…` standing for anything;
//! - `python file=send.py` (or any language with a `file`) is written to that file;
//! - everything else is for the reader's eyes only.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::{Launch, Receiver, TestServer, eventually, external, finish};

/// Where the pages say that the server and the receiver listen.
const SERVER: &str = "127.0.0.1:8411";
const RECEIVER: &str = "127.0.0.1:8412";
/// How long a page may take; compiling for the first time is the longest.
const PATIENCE: Duration = Duration::from_mins(3);
/// Pages that are about commands which wait for people or run on; that each of their examples is
/// one the program takes is tested where its commands are.
const PARSED: [&str; 2] = ["guides/cli.md", "guides/listen.md"];
/// Stands between the outputs of two blocks.
const MARK: &str = "----8<---- ";

/// What a page does, step by step.
#[derive(Debug, PartialEq)]
enum Step {
    Write { file: String, text: String },
    Run { script: String, printed: String },
}

/// Reads the steps of a page; a fault in its fences is told with the line.
fn steps(page: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut text = String::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some((_, line)) => writeln!(text, "{line}").unwrap(),
                None => return Err(format!("the block of line {} has no end", number + 1)),
            }
        }
        let file = info.split_once(" file=").map(|(_, file)| file.to_owned());
        match (info, file) {
            ("sh", None) => steps.push(Step::Run {
                script: text,
                printed: String::new(),
            }),
            ("text", None) => match steps.last_mut() {
                Some(Step::Run { printed, .. }) if printed.is_empty() => *printed = text,
                _ => return Err(format!("line {}: output of no command", number + 1)),
            },
            (_, Some(file)) => steps.push(Step::Write { file, text }),
            _ => {}
        }
    }
    Ok(steps)
}

/// Whether every line that is expected was printed, in order; `…` stands for anything.
fn is_printed(expected: &str, printed: &str) -> bool {
    let mut printed = printed.lines();
    expected
        .lines()
        .all(|expected| printed.any(|line| is_alike(expected.trim_end(), line.trim_end())))
}

fn is_alike(expected: &str, line: &str) -> bool {
    let mut parts = expected.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The whole page as one script: files are written first, as a reader has them by then.
fn script(steps: &[Step]) -> String {
    let mut script = String::from("set -euo pipefail\n");
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Write { file, text } => {
                write!(script, "cat > {file} <<'END-OF-FILE'\n{text}END-OF-FILE\n").unwrap();
            }
            Step::Run { script: run, .. } => {
                write!(script, "echo; echo '{MARK}{index}'\n{run}").unwrap();
            }
        }
    }
    script
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Links what the examples need into a folder that comes first in the path.
fn tools(folder: &Path, server: &TestServer) -> Option<PathBuf> {
    let python: PathBuf = external::provided("POSTHASTE_TEST_PYTHON")?;
    let modules: PathBuf = external::provided("POSTHASTE_TEST_NODE_MODULES")?;
    let tools = folder.join("tools");
    fs::create_dir_all(&tools).unwrap();
    let program = fs::canonicalize(server.program()).unwrap();
    std::os::unix::fs::symlink(program, tools.join("posthaste")).unwrap();
    // The folder of a virtual environment itself: a link to its Python would not find its modules.
    let python = python.parent().unwrap().to_owned();
    std::os::unix::fs::symlink(modules, folder.join("node_modules")).unwrap();
    #[allow(
        clippy::disallowed_methods,
        reason = "where programs are is no setting"
    )]
    let path = std::env::var("PATH").unwrap();
    Some(format!("{}:{}:{path}", tools.display(), python.display()).into())
}

/// Puts real addresses where the page names its own, so that pages can run side by side.
fn placed(text: &str, server: &TestServer, receiver: &Receiver) -> String {
    let receiver = receiver.url("");
    text.replace(SERVER, &server.api.address.to_string())
        .replace(RECEIVER, receiver.trim_start_matches("http://"))
}

/// Runs one page beside a server and a receiver of its own.
async fn runs(page: &str) {
    let text = fs::read_to_string(docs().join(page)).unwrap();
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let server = launch.retries("0s,1s,1s").start().await;
    let receiver = Receiver::start().await;
    let steps = steps(&placed(&text, &server, &receiver)).unwrap();
    assert!(!steps.is_empty(), "{page} has no example");
    let folder = server.scratch().join("reader");
    fs::create_dir_all(&folder).unwrap();
    let Some(path) = tools(&folder, &server) else {
        return;
    };

    let mut command = Command::new("bash");
    command
        .args(["-c", &script(&steps)])
        .current_dir(&folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", &folder)
        // Shared by all pages and runs: what is compiled once is compiled.
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .env("POSTHASTE_URL", server.api.url())
        .env("POSTHASTE_TOKEN", &server.api.token)
        .env("POSTHASTE_DATA", server.data())
        .stdin(Stdio::null());
    let output = tokio::time::timeout(PATIENCE, finish(command)).await;
    let output = output.unwrap_or_else(|_| panic!("{page} takes for ever"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{page}:\n{printed}\n{said}");
    for part in printed.split(MARK).skip(1) {
        let (index, printed) = part.split_once('\n').unwrap();
        let Step::Run {
            printed: expected, ..
        } = &steps[index.parse::<usize>().unwrap()]
        else {
            unreachable!("only commands leave a mark");
        };
        assert!(
            is_printed(expected, printed),
            "{page} promises\n{expected}\nand the command printed\n{printed}"
        );
    }
}

/// Declares a test for each page, and one that no page with examples is left out.
macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                runs($page).await;
            }
        )*

        #[test]
        fn every_page_with_examples_is_run() {
            let run = [$($page),*];
            let left_out: Vec<_> = pages_with_examples()
                .into_iter()
                .filter(|page| !run.contains(&page.as_str()) && !PARSED.contains(&page.as_str()))
                .collect();
            assert_eq!(left_out, Vec::<String>::new());
        }
    };
}

pages! {
    the_quick_start_does_what_it_says: "quick-start.md",
    the_guide_to_sending_does_what_it_says: "guides/send.md",
    the_guide_to_verifying_does_what_it_says: "guides/verify.md",
    the_guide_to_rotating_does_what_it_says: "guides/rotate.md",
    the_guide_to_receiving_does_what_it_says: "guides/receive.md",
    the_guide_to_cloudevents_does_what_it_says: "guides/cloudevents.md",
    the_guide_to_passing_on_does_what_it_says: "guides/forward.md",
    the_guide_to_applying_a_file_does_what_it_says: "guides/apply.md",
    the_guide_to_sending_again_does_what_it_says: "guides/replay.md",
    the_guide_to_operating_does_what_it_says: "guides/operate.md",
    the_guide_to_migrating_does_what_it_says: "guides/migrate.md",
    the_guide_to_keys_does_what_it_says: "guides/keys.md",
    the_guide_to_the_audit_trail_does_what_it_says: "guides/audit.md",
    the_guide_to_erasing_does_what_it_says: "guides/erasure.md",
}

/// The pages that have something to run, by their paths below `docs`.
fn pages_with_examples() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "guides", "reference"] {
        for entry in fs::read_dir(docs().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let is_page = path.extension().is_some_and(|kind| kind == "md");
            if !is_page || !fs::read_to_string(&path).unwrap().contains("\n```sh\n") {
                continue;
            }
            let name = path.strip_prefix(docs()).unwrap();
            found.push(name.to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

/// The names in the first column of a page's tables.
fn rows(page: &str) -> Vec<String> {
    let text = fs::read_to_string(docs().join(page)).unwrap();
    let first = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    text.lines().filter_map(first).collect()
}

#[tokio::test]
async fn the_page_of_metrics_lists_what_a_server_shows() {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let server = launch.start().await;
    let receiver = Receiver::start().await;
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/hooks")});
    server.api.create_endpoint("shop", &endpoint).await;
    server.api.publish("shop", "{}").await;
    // A series with labels shows from its first count on.
    let nowhere = r#"{"eventType": "a.b", "payload": {}}"#;
    server.api.post("/api/v1/app/nowhere/msg", nowhere).await;
    receiver.wait_for("/hooks", 1, PATIENCE).await;

    let mut shown = Vec::new();
    eventually("the attempt is counted", PATIENCE, async || {
        let text = server.api.get("/metrics").await.text();
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        shown = names
            .map(|line| line.replace(" counter", "_total"))
            .collect();
        text.contains("posthaste_delivery_attempts_total")
    })
    .await;
    let name = |line: &String| line.split(' ').next().unwrap().to_owned();
    let mut shown: Vec<String> = shown.iter().map(name).collect();
    shown.sort();

    let mut listed = rows("reference/metrics.md");
    listed.sort();
    assert_eq!(listed, shown);
}

#[test]
fn the_page_of_errors_lists_every_error_with_its_status() {
    let text = fs::read_to_string(docs().join("reference/errors.md")).unwrap();
    let mut missing = Vec::new();
    for entry in fs::read_dir(docs().join("errors")).unwrap() {
        let page = fs::read_to_string(entry.unwrap().path()).unwrap();
        let title = page.lines().next().unwrap();
        let (code, status) = title.trim_start_matches("# ").split_once(' ').unwrap();
        let status = status.trim_matches(['(', ')']);
        let row = format!("| [`{code}`](../errors/{code}.md) | {status} |");
        if !text.contains(&row) {
            missing.push(row);
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn output_is_compared_line_by_line_with_gaps() {
    let cases = [
        ("a…c\n", "a b c\n", true),
        ("a…\n", "x\na b\n", true),
        ("…b…\n", "abc\n", true),
        ("a\nb\n", "b\na\n", false),
        ("a…d\n", "a b c\n", false),
        ("ab\n", "abc\n", false),
    ];
    for (expected, printed, fits) in cases {
        assert_eq!(
            is_printed(expected, printed),
            fits,
            "{expected:?} in {printed:?}"
        );
    }
}

#[test]
fn a_page_is_read_into_files_commands_and_their_output() {
    let page = "# T\n```go file=a.go\nx\n```\nand\n```sh\nrun\n```\n```text\nout\n```\n";
    let expected = vec![
        Step::Write {
            file: "a.go".to_owned(),
            text: "x\n".to_owned(),
        },
        Step::Run {
            script: "run\n".to_owned(),
            printed: "out\n".to_owned(),
        },
    ];
    assert_eq!(steps(page), Ok(expected));
    assert!(steps("```sh\nrun\n").is_err());
    assert!(steps("```text\nout\n```\n").is_err());
}

/// Every test that the page of defences names is one in the code.
#[test]
fn the_page_of_defences_names_tests_that_exist() {
    let page = fs::read_to_string(docs().join("security.md")).unwrap();
    let mut code = String::new();
    let mut folders = vec![docs().join("../crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                code.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    let names: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| !name.contains(['/', '.', '-']))
        .collect();

    assert!(names.len() > 50, "{names:?}");
    let missing = names.iter().filter(|name| {
        let test = format!("{name}(");
        let stands = format!("{name}:");
        !code.contains(&test) && !code.contains(&stands)
    });
    assert_eq!(missing.collect::<Vec<_>>(), [&""; 0]);
}

//! Programs beside posthaste itself that tests drive: clients, the crash lab, `strace`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a variable of the environment says, if it is set.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The path that `cargo xtask test` has put into a variable.
///
/// Without it the calling test should return: it is reported as skipped, and in CI it fails.
pub fn provided(variable_name: &str) -> Option<PathBuf> {
    let found = variable(variable_name);
    if found.is_none() {
        skipped(&format!(
            "{variable_name} is not set; `cargo xtask test` sets it"
        ));
    }
    found
}

/// Says whether a program that `cargo xtask test` installs is there; without it as above.
pub fn installed(program: &str) -> bool {
    let found = starts(program, &["--version"]);
    if !found {
        skipped(&format!(
            "`{program}` is not installed; `cargo xtask test` does so"
        ));
    }
    found
}

/// Says whether the kernel lets a command succeed here. Where it does not, the calling test should
/// return: it is reported as skipped, and nothing that is installed could change that.
pub fn permitted(program: &str, arguments: &[&str]) -> bool {
    let permitted = starts(program, arguments);
    if !permitted {
        forbidden(&format!("`{program} {}` fails", arguments.join(" ")));
    }
    permitted
}

fn starts(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Reports the running test as skipped because this machine does not allow what it does.
pub fn forbidden(why: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    // Written past the capture of a test's output, which nobody sees when the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Reports the running test as skipped; fails it where `CI=true` says that nothing may be missing.
fn skipped(why: &str) {
    let is_ci = variable("CI").is_some_and(|value| value.as_os_str() == "true");
    assert!(!is_ci, "must not be skipped in CI: {why}");
    forbidden(why);
}

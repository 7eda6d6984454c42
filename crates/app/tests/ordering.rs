//! A publish is answered only once the disk has it: seen from the kernel's side.
//!
//! Killing a process does not show a sync that was left out, as what it wrote stays in the page
//! cache. So this looks at the order of the system calls themselves.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{Launch, eventually_some, external};

const MESSAGES: usize = 200;

/// Each 202 must come after the end of a sync of the log that began after the message was written.
#[tokio::test]
async fn every_202_follows_a_sync_that_began_after_the_message_was_written() {
    if !external::installed("strace") {
        return;
    }
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).start().await;
    server.api.create_application("shop").await;
    let Some(trace) = Trace::of(server.pid(), server.scratch()).await else {
        return external::forbidden("strace may not attach to another process here");
    };

    for number in 0..MESSAGES {
        let body = format!(r#"{{"is":"{}"}}"#, marker(number));
        server.api.publish("shop", &body).await;
    }
    let lines = trace.end();

    let mut answered = 0;
    let mut rest = lines.as_slice();
    while let Some(at) = rest.iter().position(|line| line.contains("HTTP/1.1 202")) {
        assert!(
            is_synced(&rest[..at], &marker(answered)),
            "message {answered} was answered before it was synced"
        );
        answered += 1;
        rest = &rest[at + 1..];
    }
    assert_eq!(answered, MESSAGES, "an answer for each message");
}

/// No message's marker is part of another's.
fn marker(number: usize) -> String {
    format!("marker-{number:06}-end")
}

/// Says whether a write with the marker is followed by a whole sync of the log, start and end.
fn is_synced(calls: &[String], marker: &str) -> bool {
    let Some(written) = calls.iter().position(|line| line.contains(marker)) else {
        return false;
    };
    let after = &calls[written + 1..];
    let syncs_log = |line: &String| line.contains("fdatasync(") && line.contains("-wal");
    let Some(begun) = after.iter().position(syncs_log) else {
        return false;
    };
    let line = &after[begun];
    let done = |line: &str| line.trim_end().ends_with("= 0");
    if done(line) {
        return true;
    }
    let thread = line.split_whitespace().next().unwrap_or_default();
    let resumed = |line: &&String| {
        line.starts_with(thread) && line.contains("fdatasync resumed") && done(line)
    };
    after[begun..].iter().any(|line| resumed(&line))
}

/// What `strace` writes down about a process.
struct Trace {
    child: Child,
    calls: PathBuf,
}

impl Trace {
    async fn of(pid: u32, scratch: &Path) -> Option<Self> {
        let (calls, said) = (scratch.join("calls"), scratch.join("strace.log"));
        let child = Command::new("strace")
            // `-y` names the file of a descriptor; 5,000 bytes show a whole page.
            .args(["-f", "-y", "-s", "5000", "-e"])
            .arg("trace=pwrite64,pwritev,fdatasync,fsync,write,writev,sendto,sendmsg")
            .arg("-o")
            .arg(&calls)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .expect("it is installed");
        let trace = Self { child, calls };
        let heard = async || {
            let said = fs::read_to_string(&said).unwrap();
            (said.contains("attached") || said.contains("permitted")).then_some(said)
        };
        let heard = eventually_some("strace attaches", Duration::from_secs(10), heard).await;
        (!heard.contains("permitted")).then_some(trace)
    }

    /// Lets go of the process; returns the calls that it made, line by line.
    fn end(mut self) -> Vec<String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let _ = self.child.wait();
        let calls = String::from_utf8_lossy(&fs::read(&self.calls).unwrap()).into_owned();
        calls.lines().map(str::to_owned).collect()
    }
}

#[test]
fn an_answer_before_the_end_of_its_sync_is_found_out() {
    let calls = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    let written = r#"7 pwrite64(5</data/db-wal>, "marker-000001-end", 4096, 8) = 4096"#;
    let synced = "7 fdatasync(5</data/db-wal>) = 0";
    let begun = "7 fdatasync(5</data/db-wal> <unfinished ...>";
    let resumed = "7 <... fdatasync resumed>) = 0";
    let failed = "7 fdatasync(5</data/db-wal>) = -1 EIO (Input/output error)";
    let is_synced = |lines: &[&str]| is_synced(&calls(lines), &marker(1));

    assert!(is_synced(&[written, synced]));
    assert!(is_synced(&[written, begun, "8 write(9, ..) = 3", resumed]));
    assert!(!is_synced(&[synced, written]));
    assert!(!is_synced(&[written, begun]));
    assert!(!is_synced(&[written, failed]));
    assert!(!is_synced(&[synced]));
}

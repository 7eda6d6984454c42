//! Crashes, ends, full disks and lying disks: nothing that was accepted is lost.
//!
//! The crash lab of `bench/` does the breaking and the counting where there is load; here it runs
//! as a child, in the lengths that every change can afford.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of a test are a test too"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::{Launch, Receiver, eventually, eventually_some, external, finish};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

const LAB: &str = "POSTHASTE_CRASHLAB";

/// One at a time: each of these is to break the server under its own load, not under another's.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Runs the lab, which succeeds only if nothing was lost, forged, changed or repeated without need.
async fn lab(arguments: &[&str]) {
    let Some(program): Option<PathBuf> = external::provided(LAB) else {
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    command
        .args(arguments)
        .arg("--server")
        .arg(server.program())
        .arg("--work")
        .arg(work.path().join("lab"));

    let output = finish(command).await;

    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{said}");
    println!("{printed}");
}

#[tokio::test]
async fn nothing_accepted_is_lost_over_twenty_five_kills_under_load() {
    let _alone = alone().await;
    lab(&["kill", "--kills", "25"]).await;
}

#[tokio::test]
async fn an_end_in_order_repeats_nothing() {
    let _alone = alone().await;
    lab(&["term", "--times", "3"]).await;
}

#[tokio::test]
async fn a_full_disk_refuses_stops_deliveries_and_heals_without_a_restart() {
    let _alone = alone().await;
    // A disk of its own needs a mount namespace, which some kernels do not grant.
    if external::permitted("unshare", &["--map-root-user", "--mount", "true"]) {
        lab(&["full", "--hold-seconds", "3"]).await;
    }
}

/// The kernel writes out what a killed process has handed to it; a power cut does not.
#[tokio::test]
async fn a_power_cut_at_any_moment_loses_nothing_that_was_accepted() {
    let _alone = alone().await;
    if external::installed("strace") && external::permitted("strace", &["-f", "true"]) {
        lab(&["images", "--images", "100", "--served", "2"]).await;
    }
}

/// `fdatasync` fails once: the disk has lost what it had promised. Carrying on would answer 202 for
/// messages that are nowhere, so the process must end, and what it had answered must be there.
#[tokio::test]
async fn a_failed_sync_ends_the_process_and_loses_nothing_that_was_accepted() {
    let _alone = alone().await;
    if !external::installed("strace") {
        return;
    }
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste")).retries("0s,1s,1s");
    let (mut server, receiver) = (launch.start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/all")});
    server.api.create_endpoint("shop", &endpoint).await;
    let mut accepted = vec![server.api.publish("shop", "{}").await];

    let failing = "fdatasync,fsync:error=EIO:when=21+";
    let Some(fault) = Fault::inject(failing, server.pid(), server.scratch()).await else {
        return external::forbidden("strace may not attach to another process here");
    };
    let refused = loop {
        match server.api.try_publish("shop", r#"{"n":1}"#).await {
            Ok(id) => accepted.push(id),
            Err(why) => break why,
        }
        assert!(accepted.len() < 10_000, "no sync has failed");
    };
    let noticed = Instant::now();
    let status = server.ended(Duration::from_secs(10)).await;
    let took = noticed.elapsed();
    drop(fault);

    assert!(!status.success(), "ended with {status} after {refused}");
    assert!(
        took < Duration::from_secs(1),
        "ended {took:?} after {refused}"
    );
    assert!(server.stderr().contains("The database failed"), "says why");
    server.start_again().await;
    all_arrive(&receiver, &accepted).await;
}

async fn all_arrive(receiver: &Receiver, accepted: &[String]) {
    let arrived = async || {
        let received = receiver.at("/all");
        let has = |id: &String| {
            received
                .iter()
                .any(|request| request.header("webhook-id") == Some(id))
        };
        accepted.iter().all(has)
    };
    let limit = Duration::from_secs(20);
    eventually("all that was accepted is delivered", limit, arrived).await;
}

/// The kernel ends the process at its nth write or sync: between two pages of a commit, before its
/// sync, or within a checkpoint. Killing by the clock seldom hits these.
#[tokio::test]
async fn a_kill_at_any_write_or_sync_loses_nothing_that_was_accepted() {
    let _alone = alone().await;
    if !external::installed("strace") {
        return;
    }
    // Small, so that what is killed is a checkpoint now and then.
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste")).retries("0s,1s,1s");
    let (mut server, receiver) = (launch.start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/all")});
    server.api.create_endpoint("shop", &endpoint).await;
    let mut accepted = Vec::new();
    let body = format!("\"{}\"", "x".repeat(20_000));

    for (call, nth) in [
        ("pwrite64", 1),
        ("pwrite64", 2),
        ("pwrite64", 5),
        ("pwrite64", 24),
        ("pwrite64", 111),
        ("fdatasync", 1),
        ("fdatasync", 13),
    ] {
        let killing = format!("{call}:signal=SIGKILL:when={nth}");
        let fault = Fault::inject(&killing, server.pid(), server.scratch()).await;
        let Some(fault) = fault else {
            return external::forbidden("strace may not attach to another process here");
        };
        while let Ok(id) = server.api.try_publish("shop", &body).await {
            accepted.push(id);
            assert!(accepted.len() < 10_000, "{killing} has killed nobody");
        }
        let status = server.ended(Duration::from_secs(10)).await;
        assert!(!status.success(), "{killing}: ended with {status}");
        drop(fault);
        server.start_again().await;
    }

    all_arrive(&receiver, &accepted).await;
}

/// `strace`, attached to a process whose system calls it tampers with.
struct Fault(Child);

impl Fault {
    /// Tampers with the calls of each thread as `inject` says, in strace's own words; nothing if
    /// the kernel forbids it.
    async fn inject(inject: &str, pid: u32, scratch: &Path) -> Option<Self> {
        let log = scratch.join("strace.log");
        let calls = inject.split(':').next().unwrap();
        let (trace, inject) = (format!("trace={calls}"), format!("inject={inject}"));
        let child = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &trace])
            .args(["-e", &inject, "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("it is installed");
        let fault = Self(child);
        let said = async || {
            let said = std::fs::read_to_string(&log).unwrap();
            (said.contains("attached") || said.contains("permitted")).then_some(said)
        };
        let said = eventually_some("strace attaches", Duration::from_secs(10), said).await;
        (!said.contains("permitted")).then_some(fault)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // It ends with what it is attached to; this is for a test that failed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! `crashlab full`: the disk runs full, stays full, and gets room again.
//!
//! The data directory is a small tmpfs in a mount namespace of its own, so it needs no rights and
//! fills nobody else's disk. Some of it is taken by a ballast file; removing that is the healing.
//! A kill after the healing shows that what was accepted at the edge was durable.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::Common;
use crate::lab::{COMMON_HEADER, Lab, Plan};
use crate::tracker::Counts;

#[derive(Clone, Debug, Args)]
pub(crate) struct FullArgs {
    #[command(flatten)]
    common: Common,
    /// Size of the disk
    #[arg(long, default_value_t = 32)]
    size_mib: u64,
    /// Of which this much is given back at the end
    #[arg(long, default_value_t = 12)]
    ballast_mib: u64,
    /// How long it stays full, in seconds
    #[arg(long, default_value_t = 10)]
    hold_seconds: u64,
    /// Set by the program itself, once it is in its own namespace
    #[arg(long, hide = true)]
    in_namespace: bool,
}

const PAYLOAD_BYTES: usize = 5 * 1024;
const FILL_LIMIT: Duration = Duration::from_mins(2);
const HEAL_LIMIT: Duration = Duration::from_secs(10);
const RED_LIMIT: Duration = Duration::from_secs(1);
/// Attempts that may have been in flight when the store refused.
const IN_FLIGHT: u64 = 64;
const POLL: Duration = Duration::from_millis(10);

/// What the mode's own columns say.
struct Figures {
    answers_507: u64,
    red_after: Option<Duration>,
    arrivals_while_full: u64,
    healed_after: Duration,
}

pub(crate) fn run(args: &FullArgs) -> anyhow::Result<()> {
    if !args.in_namespace {
        return enter_namespace();
    }
    let disk = args.common.work.join("disk");
    mount(&disk, args.size_mib)?;
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; usize::try_from(args.ballast_mib << 20)?])?;
    let data = disk.join("data");
    let plan = Plan {
        data,
        payload_min: PAYLOAD_BYTES,
        // The run is short and ends in a kill: only the number at that kill says something.
        repeats_share: 1.0,
        waiting_max: 64,
    };
    let mut lab = Lab::open(&args.common.waiting_for_room(args.hold_seconds), &plan)?;

    let figures = fill_and_heal(&mut lab, args, &ballast)?;
    lab.stop_publishing()?;
    lab.kill_and_start()?;

    let outcome = lab.close()?;
    let header = [
        COMMON_HEADER.as_slice(),
        &[
            "answers of 507",
            "not ready after",
            "arrivals while full",
            "accepts again after",
        ],
    ]
    .concat();
    let mut cells = outcome.common_cells();
    cells.extend([
        figures.answers_507.to_string(),
        figures
            .red_after
            .map_or_else(|| "never".into(), |after| format!("{after:.1?}")),
        figures.arrivals_while_full.to_string(),
        format!("{:.1?}", figures.healed_after),
    ]);
    outcome.conclude(&header, &cells)
}

impl Common {
    /// While there is no room, an outcome cannot be recorded however fast the machine is: it waits
    /// for as long as the disk stays full, and for the healing.
    fn waiting_for_room(&self, hold_seconds: u64) -> Self {
        let healing = u64::try_from(HEAL_LIMIT.as_millis()).expect("it is seconds");
        Self {
            unrecorded_ms: self.unrecorded_ms.max(hold_seconds * 1_000 + healing),
            ..self.clone()
        }
    }
}

/// Runs this same command in a user and mount namespace of its own.
fn enter_namespace() -> anyhow::Result<()> {
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--in-namespace")
        .status()
        .context("cannot run unshare")?;
    ensure!(status.success(), "see above");
    Ok(())
}

fn mount(disk: &Path, mebibytes: u64) -> anyhow::Result<()> {
    fs::create_dir_all(disk)?;
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
        .arg(disk)
        .status()
        .context("cannot run mount")?;
    ensure!(status.success(), "cannot mount a tmpfs");
    Ok(())
}

fn fill_and_heal(lab: &mut Lab, args: &FullArgs, ballast: &Path) -> anyhow::Result<Figures> {
    wait(FILL_LIMIT, || lab.tracker.counts().full > 0).context("no 507: the disk never filled")?;
    let red_after = wait(RED_LIMIT, || !lab.is_ready()).ok();
    if red_after.is_none() {
        lab.objections
            .push("/readyz stayed 200 while the disk was full".into());
    }
    let counts = hold(lab, Duration::from_secs(args.hold_seconds))?;
    fs::remove_file(ballast)?;
    let freed = lab.tracker.counts().accepted;
    let healed_after = wait(HEAL_LIMIT, || lab.tracker.counts().accepted > freed)
        .context("nothing was accepted after there was room again")?;
    if wait(HEAL_LIMIT, || lab.is_ready()).is_err() {
        lab.objections
            .push("/readyz stayed red after there was room again".into());
    }
    let after = lab.tracker.counts();
    if after.full_without_retry_after > 0 {
        let bare = after.full_without_retry_after;
        lab.objections
            .push(format!("{bare} answers of 507 without Retry-After"));
    }
    Ok(Figures {
        answers_507: after.full,
        red_after,
        arrivals_while_full: counts,
        healed_after,
    })
}

/// Watches a full disk; returns the arrivals in the second half of the time.
fn hold(lab: &mut Lab, time: Duration) -> anyhow::Result<u64> {
    thread::sleep(time / 2);
    let before = lab.tracker.counts();
    thread::sleep(time / 2);
    let after = lab.tracker.counts();
    if !lab.server_is_alive() {
        bail!("the server ended when its disk was full");
    }
    let of = |count: fn(Counts) -> u64| count(after) - count(before);
    let arrivals = of(|counts| counts.arrivals);
    // What little was accepted meanwhile may arrive; what cannot be recorded must not be sent.
    let explained = of(|counts| counts.accepted) * 3 + IN_FLIGHT;
    if arrivals > explained {
        let excess = format!("{arrivals} arrivals while full, {explained} explained");
        lab.objections.push(excess);
    }
    Ok(arrivals)
}

/// Polls until `is_so`; returns how long that took.
fn wait(limit: Duration, mut is_so: impl FnMut() -> bool) -> anyhow::Result<Duration> {
    let start = Instant::now();
    while !is_so() {
        ensure!(start.elapsed() < limit, "not within {limit:?}");
        thread::sleep(POLL);
    }
    Ok(start.elapsed())
}

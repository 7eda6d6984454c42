//! `crashlab images`: the power is cut. What a `kill -9` cannot show, because the kernel still
//! writes what a killed process has handed to it.
//!
//! The server runs once, under `strace`, which writes down every byte that it writes, every sync
//! and every 202. From that, many disks are made up as they may be found after the power was cut
//! at some moment: what was synced by then is there, and of what was not, any part, torn sectors
//! included. On each of them the database must be sound and hold every message that had been
//! answered by then, whole, and together with its delivery; and on some of them the server is
//! started.

mod disk;
mod trace;

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use posthaste_bench::plain;
use posthaste_bench::server::{self, ADMIN_KEY, Launch, Server};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use self::disk::Disk;
use self::trace::{CALLS, Event, Trace};
use crate::Common;
use crate::message::Messages;
use crate::seed::Numbers;

const READY_LIMIT: Duration = Duration::from_mins(1);
/// Nobody listens there: what is published stays to be delivered.
const NOWHERE: &str = "http://127.0.0.1:1/";
/// Images that are looked at by one thread one after the other, at rising moments.
const WORKERS: u64 = 2;
/// So many of the ways in which images are wrong are shown.
const SHOWN: usize = 10;

#[derive(Clone, Debug, Args)]
pub(crate) struct ImagesArgs {
    #[command(flatten)]
    common: Common,
    /// How many disks are made up
    #[arg(long, default_value_t = 200)]
    images: u64,
    /// How many of them the server is started on
    #[arg(long, default_value_t = 5)]
    served: u64,
    /// How many messages are published
    #[arg(long, default_value_t = 400)]
    messages: u64,
}

/// What the images came from, and what came of them.
struct Findings<'a> {
    trace: &'a Trace,
    messages: &'a Messages,
    unsettled: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

pub(crate) fn run(args: &ImagesArgs) -> anyhow::Result<()> {
    let seed = args.common.seed();
    println!("seed {seed}");
    // Large ones, so that the log is copied into the database in between.
    let messages = Messages {
        seed,
        size_min: 12 * 1024,
    };
    let work = &args.common.work;
    drop(fs::remove_dir_all(work));
    fs::create_dir_all(work)?;
    let work = work.canonicalize()?;
    let launch = launch(&args.common, &work)?;
    let trace = record(&launch, &work, &messages, args.messages)?;
    let (writes, syncs) = count(&trace);
    let findings = Findings {
        trace: &trace,
        messages: &messages,
        unsettled: AtomicU64::new(0),
        wrong: Mutex::default(),
    };
    let began = Instant::now();
    thread::scope(|scope| {
        let of = |worker| examine(&findings, args, &work, worker, seed);
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || of(worker)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker panicked"))
    })?;
    let served = serve(&findings, args, &work, &launch, seed)?;
    let wrong = findings.wrong.into_inner();
    let wrong = wrong.unwrap_or_else(PoisonError::into_inner);
    println!(
        "| seed | messages | writes | syncs | images | with writes under way | started on | wrong \
         | seconds |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
         | {seed} | {} | {writes} | {syncs} | {} | {} | {served} | {} | {:.0} |",
        args.messages,
        args.images,
        findings.unsettled.into_inner(),
        wrong.len(),
        began.elapsed().as_secs_f64()
    );
    for why in wrong.iter().take(SHOWN) {
        println!("- {why}");
    }
    ensure!(wrong.is_empty(), "{} images are wrong", wrong.len());
    Ok(())
}

fn launch(common: &Common, work: &Path) -> anyhow::Result<Launch> {
    let beside = std::env::current_exe()?.with_file_name("posthaste");
    let settings = common.settings.iter();
    let settings = settings.map(|text| {
        let (name, value) = text.split_once('=').context("--set takes NAME=VALUE")?;
        Ok((name.to_owned(), value.to_owned()))
    });
    Ok(Launch {
        program: common.server.clone().unwrap_or(beside),
        subcommand: common.subcommand.clone(),
        address: server::free_address()?,
        data: work.join("data"),
        log: work.join("server.log"),
        settings: settings.collect::<anyhow::Result<_>>()?,
    })
}

/// Runs the server under `strace` from its first write on, publishes, and ends it.
fn record(launch: &Launch, work: &Path, messages: &Messages, count: u64) -> anyhow::Result<Trace> {
    fs::create_dir_all(&launch.data)?;
    let calls = work.join("calls");
    let mut traced = Traced(
        Command::new("strace")
            .args(["-f", "-y", "-xx", "-s", "1000000", "-e", CALLS, "-o"])
            .arg(&calls)
            .arg(&launch.program)
            .arg(&launch.subcommand)
            .args(["--listen", &launch.address.to_string(), "--data"])
            .arg(&launch.data)
            .arg("--allow-private")
            .env("POSTHASTE_ADMIN_KEY", ADMIN_KEY)
            .envs(launch.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&launch.log)?)
            .spawn()
            .context("strace cannot be started")?,
    );
    let began = Instant::now();
    while !server::is_ready(launch.address) {
        ensure!(began.elapsed() < READY_LIMIT, "the server is not ready");
        thread::sleep(Duration::from_millis(20));
    }
    let application = server::create_application(launch.address, "images")?;
    let endpoint = json!({ "url": NOWHERE });
    server::create_endpoint(launch.address, &application, &endpoint)?;
    let path = format!("/api/v1/app/{application}/msg?with_content=false");
    for sequence in 0..count {
        let body = String::from_utf8(messages.publish(sequence))?;
        let answer = plain::post(launch.address, &path, ADMIN_KEY, &body)?;
        ensure!(answer.status == 202, "a publish: {}", answer.body);
    }
    traced.end()?;
    let lines = fs::read_to_string(&calls)?;
    let trace = Trace::read(&lines, &launch.data)?;
    let answered = trace.events.iter().filter(|one| **one == Event::Accepted);
    ensure!(
        answered.count() == usize::try_from(count)?,
        "not every answer is in the trace"
    );
    Ok(trace)
}

/// `strace` and the server below it; dropping it kills both.
struct Traced(Child);

impl Traced {
    fn end(&mut self) -> anyhow::Result<()> {
        // To the server: strace would only let go of it.
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        for pid in fs::read_to_string(children)?.split_whitespace() {
            let pid = Pid::from_raw(pid.parse()?).context("no process")?;
            kill_process(pid, Signal::KILL)?;
        }
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // Both fail when they have ended already, which is what is wanted.
        drop(self.end());
        drop(self.0.kill());
    }
}

fn count(trace: &Trace) -> (usize, usize) {
    let of = |matches: fn(&Event) -> bool| trace.events.iter().filter(|one| matches(one)).count();
    (
        of(|event| matches!(event, Event::Write { .. })),
        of(|event| matches!(event, Event::Synced { .. })),
    )
}

/// Draws moments of power cuts after the first publish, in order.
fn moments(trace: &Trace, images: u64, numbers: &mut Numbers) -> Vec<usize> {
    let first = trace.events.iter().position(|one| *one == Event::Accepted);
    let first = first.unwrap_or(0);
    let mut moments: Vec<usize> = (0..images)
        .map(|_| first + 1 + numbers.below(trace.events.len() - first))
        .collect();
    moments.sort_unstable();
    moments
}

/// Makes up one worker's share of the images and looks at each.
fn examine(
    findings: &Findings<'_>,
    args: &ImagesArgs,
    work: &Path,
    worker: u64,
    seed: u64,
) -> anyhow::Result<()> {
    let mut numbers = Numbers::new(seed ^ worker);
    let folder = fast_folder(work).join(format!("image-{}-{worker}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let moments = moments(findings.trace, args.images / WORKERS, &mut numbers);
    let mut disk = Disk::new(findings.trace);
    for moment in moments {
        disk.run_to(moment);
        if disk.is_unsettled() {
            findings.unsettled.fetch_add(1, Ordering::Relaxed);
        }
        disk.write_image(&mut numbers, &folder)?;
        if let Err(why) = check(&folder, findings, disk.accepted) {
            let mut wrong = findings
                .wrong
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            wrong.push(format!("cut at event {moment}: {why:#}"));
        }
        clear(&folder)?;
    }
    Ok(fs::remove_dir_all(&folder)?)
}

/// Memory, where there is some: thousands of images are written and forgotten.
fn fast_folder(work: &Path) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        work.to_owned()
    }
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// The database recovers, is sound, and has all that was answered, each with its delivery.
fn check(folder: &Path, findings: &Findings<'_>, accepted: u64) -> anyhow::Result<()> {
    let connection = Connection::open(database(folder)?)?;
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(sound == "ok", "{sound}");
    let mut messages = connection.prepare(
        "SELECT payload FROM message
          WHERE fresh IS NOT NULL
             OR EXISTS (SELECT 1 FROM delivery WHERE delivery.message = message.key)
             OR EXISTS (SELECT 1 FROM attempt WHERE attempt.message = message.key)",
    )?;
    let payloads = messages.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let payloads: HashSet<Vec<u8>> = payloads.collect::<Result<_, _>>()?;
    for sequence in 0..accepted {
        let payload = findings.messages.payload(sequence);
        ensure!(
            payloads.contains(&payload),
            "message {sequence} of {accepted} that were answered is missing"
        );
    }
    Ok(())
}

fn database(folder: &Path) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "db") {
            return Ok(path);
        }
    }
    anyhow::bail!("there is no database")
}

/// Starts the server on some images, beside the key that they were written with.
fn serve(
    findings: &Findings<'_>,
    args: &ImagesArgs,
    work: &Path,
    launch: &Launch,
    seed: u64,
) -> anyhow::Result<u64> {
    let mut numbers = Numbers::new(!seed);
    let mut disk = Disk::new(findings.trace);
    for moment in moments(findings.trace, args.served, &mut numbers) {
        disk.run_to(moment);
        let data = work.join("served");
        drop(fs::remove_dir_all(&data));
        fs::create_dir_all(&data)?;
        for entry in fs::read_dir(&launch.data)? {
            let entry = entry?;
            fs::copy(entry.path(), data.join(entry.file_name()))?;
        }
        drop(fs::remove_file(database(&data)?.with_extension("db-shm")));
        disk.write_image(&mut numbers, &data)?;
        let mut server = Server::start(&Launch {
            data: data.clone(),
            address: server::free_address()?,
            ..launch.clone()
        })?;
        let ready = server.wait_ready(READY_LIMIT);
        ready.with_context(|| format!("on the disk of a power cut at event {moment}"))?;
        server.kill()?;
        if let Err(why) = check(&data, findings, disk.accepted) {
            let mut wrong = findings
                .wrong
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            wrong.push(format!("served after a cut at event {moment}: {why:#}"));
        }
    }
    Ok(args.served)
}

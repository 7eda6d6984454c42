//! The test bed: starts the parts, runs a round, samples what each process used.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use posthaste_bench::child::Role;
use posthaste_bench::latency::Percentiles;
use posthaste_bench::server::{self, ADMIN_KEY, Launch, Server};
use posthaste_bench::usage;
use posthaste_bench::webhook::secret_text;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Options;
use crate::role::load::{self, Job, Pace, SECRET, Stop, What};
use crate::role::receiver::{self, Command, Listen, Listening};

const READY_LIMIT: Duration = Duration::from_secs(10);
/// How long nothing new may arrive before what is missing counts as lost.
const DRAIN_PATIENCE: Duration = Duration::from_secs(15);
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// What outlives a scenario: options, and numbers never used twice.
pub(crate) struct Lab {
    pub(crate) options: Options,
    program: PathBuf,
    next_sequence: u64,
}

/// Which of the two is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Relay,
    Server,
}

/// A running relay or server with one application.
pub(crate) struct Side {
    pub(crate) kind: Kind,
    pub(crate) server: Server,
    pub(crate) launch: Launch,
    pub(crate) application: String,
}

impl Lab {
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let beside = std::env::current_exe()?.with_file_name("posthaste");
        let program = options.server.clone().unwrap_or(beside);
        ensure!(
            options.relay_only || program.is_file(),
            "there is no server at {}; build it, name it by --server, or use --relay-only",
            program.display()
        );
        Ok(Self {
            options: options.clone(),
            program,
            next_sequence: 0,
        })
    }

    /// Returns the first of a range of fresh numbers.
    ///
    /// A round in a closed loop does not know how many it will need, so it takes a wide range.
    pub(crate) fn sequences(&mut self) -> u64 {
        let first = self.next_sequence;
        self.next_sequence += 1 << 32;
        first
    }

    /// Starts the receiver.
    pub(crate) fn receiver(listen: Listen) -> anyhow::Result<(Role, Listening)> {
        let mut role = Role::start("role-receiver")?;
        let listening = role.ask(&listen)?;
        Ok((role, listening))
    }

    /// Starts a side on an empty data directory, with one application that has `endpoints`.
    pub(crate) fn side(
        &self,
        kind: Kind,
        scenario: &str,
        settings: &[(&str, &str)],
        endpoints: &[Value],
    ) -> anyhow::Result<Side> {
        let launch = self.launch(kind, scenario, settings)?;
        let mut server = Server::start(&launch)?;
        let log = launch.log.display();
        server
            .wait_ready(READY_LIMIT)
            .with_context(|| format!("see {log}"))?;
        let application = server::create_application(launch.address, scenario)?;
        for endpoint in endpoints {
            server::create_endpoint(launch.address, &application, endpoint)?;
        }
        Ok(Side {
            kind,
            server,
            launch,
            application,
        })
    }

    fn launch(
        &self,
        kind: Kind,
        scenario: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Launch> {
        let data = self.options.data.join(scenario);
        // Left over from a run that was interrupted.
        drop(fs::remove_dir_all(&data));
        fs::create_dir_all(&data)?;
        let (program, subcommand) = match kind {
            Kind::Relay => (std::env::current_exe()?, "role-relay"),
            Kind::Server => (self.program.clone(), "serve"),
        };
        let mut settings: Vec<(String, String)> = settings
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        for text in &self.options.settings {
            let (name, value) = text.split_once('=').context("--set takes NAME=VALUE")?;
            settings.push((name.into(), value.into()));
        }
        let threads = self.options.relay_threads.to_string();
        settings.push(("BENCH_RELAY_THREADS".into(), threads));
        Ok(Launch {
            program,
            subcommand: subcommand.into(),
            address: server::free_address()?,
            data,
            log: self.options.data.join(format!("{scenario}.log")),
            settings,
        })
    }
}

impl Side {
    /// Removes the data; the log stays.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.server.kill()?;
        Ok(fs::remove_dir_all(&self.launch.data)?)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.launch.data
    }

    /// Makes the job of publishing 1 KiB messages singly, for others to vary.
    pub(crate) fn job(&self, first_sequence: u64, seconds: f64) -> Job {
        Job {
            address: self.launch.address,
            application: self.application.clone(),
            token: ADMIN_KEY.into(),
            pace: Pace::Closed,
            connections: 32,
            stop: Stop::After { seconds },
            batch: 1,
            payload_bytes: 1024,
            event_types: vec!["bench.event".into()],
            first_sequence,
            what: What::Publish,
        }
    }

    /// Makes a source, and returns the path that providers post to.
    pub(crate) fn source(&self) -> anyhow::Result<String> {
        let source = json!({
            "name": "Bench", "provider": "standard-webhooks", "secrets": [secret_text(&SECRET)],
        });
        server::create_source(self.launch.address, &self.application, &source)
    }
}

/// One round of one side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) side: Kind,
    pub(crate) accepted: u64,
    pub(crate) failed: u64,
    #[serde(skip)]
    pub(crate) complaint: Option<String>,
    /// Answered 202, over the time of publishing.
    pub(crate) published_per_second: f64,
    /// Accepted, over the time until all were delivered.
    pub(crate) messages_per_second: f64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) publish: Percentiles,
    pub(crate) arrival: Percentiles,
    /// CPU seconds per 1,000 messages: relay or server, publisher, receiver.
    pub(crate) cpu: [f64; 3],
    pub(crate) resident_bytes: u64,
    pub(crate) disk_bytes_per_message: f64,
    pub(crate) written_bytes_per_message: f64,
    pub(crate) flushes_per_second: Option<f64>,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Deliveries that the receiver refused, as the scenario asked.
    pub(crate) refused: u64,
}

/// What is read before and after a round.
struct Sample {
    cpu: f64,
    receiver_cpu: f64,
    stored: u64,
    written: u64,
    flushes: Option<u64>,
}

impl Sample {
    fn take(side: &Side, receiver: &Role) -> anyhow::Result<Self> {
        let pid = side.server.pid();
        Ok(Self {
            cpu: usage::cpu_seconds(pid)?,
            receiver_cpu: usage::cpu_seconds(receiver.pid())?,
            stored: usage::stored_bytes(side.data())?,
            written: usage::written_bytes(pid)?,
            flushes: usage::flushes(side.data()),
        })
    }
}

/// Publishes by `job`, waits until each message arrived at `endpoints` endpoints, and reckons.
pub(crate) fn round(
    side: &Side,
    receiver: &mut Role,
    job: &Job,
    endpoints: u64,
) -> anyhow::Result<Round> {
    let _: receiver::Report = receiver.ask(&Command::Reset {
        first_sequence: job.first_sequence,
    })?;
    let before = Sample::take(side, receiver)?;
    let load: load::Report = Role::start("role-load")?.ask(job)?;
    let seen = drained(receiver, load.accepted * endpoints)?;
    let after = Sample::take(side, receiver)?;
    let resident_bytes = usage::resident_bytes(side.server.pid())?;
    Ok(reckon(
        side.kind,
        endpoints,
        &load,
        &seen,
        [&before, &after],
        resident_bytes,
    ))
}

/// Waits until `expected` distinct deliveries arrived, or nothing new came for long.
pub(crate) fn drained(receiver: &mut Role, expected: u64) -> anyhow::Result<receiver::Report> {
    let (mut progress, mut since) = (0, Instant::now());
    loop {
        let seen: receiver::Report = receiver.ask(&Command::Report)?;
        if seen.distinct >= expected || since.elapsed() > DRAIN_PATIENCE {
            return Ok(seen);
        }
        if seen.distinct > progress {
            (progress, since) = (seen.distinct, Instant::now());
        }
        thread::sleep(DRAIN_POLL);
    }
}

fn reckon(
    side: Kind,
    endpoints: u64,
    load: &load::Report,
    seen: &receiver::Report,
    [before, after]: [&Sample; 2],
    resident_bytes: u64,
) -> Round {
    let published = seconds(load.started_nanos, load.ended_nanos);
    let delivered = seconds(load.started_nanos, seen.last_nanos.max(load.ended_nanos));
    let messages = float(load.accepted.max(1));
    let per_thousand = |cpu: f64| cpu / messages * 1_000.0;
    let flushes = before.flushes.zip(after.flushes);
    Round {
        side,
        accepted: load.accepted,
        failed: load.failed,
        complaint: load.complaint.clone(),
        published_per_second: float(load.accepted) / published,
        messages_per_second: float(load.accepted) / delivered,
        deliveries_per_second: float(seen.distinct) / delivered,
        publish: load.latency,
        arrival: seen.latency,
        cpu: [
            per_thousand(after.cpu - before.cpu),
            per_thousand(load.cpu_seconds),
            per_thousand(after.receiver_cpu - before.receiver_cpu),
        ],
        resident_bytes,
        disk_bytes_per_message: float(after.stored.saturating_sub(before.stored)) / messages,
        written_bytes_per_message: float(after.written - before.written) / messages,
        flushes_per_second: flushes.map(|(first, last)| float(last - first) / delivered),
        lost: (load.accepted * endpoints).saturating_sub(seen.distinct),
        repeated: seen.accepted - seen.distinct,
        refused: seen.refused,
    }
}

fn seconds(start: u64, end: u64) -> f64 {
    Duration::from_nanos(end.saturating_sub(start))
        .as_secs_f64()
        .max(1e-9)
}

/// Turns a count into a float for a division.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// Returns the median; of an even count the upper one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

//! Puts the parts together: directories, server, endpoints, receiver, producer, verdict.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use posthaste_bench::server::{self, Launch, Server};
use posthaste_bench::time::now_nanos;
use serde_json::json;
use tokio::sync::oneshot;

use crate::Common;
use crate::ledger::{Durability, Ledger, read_deliveries, read_publishes};
use crate::message::{ENDPOINTS, Messages, secret};
use crate::oracle::{Evidence, Kill, Limits, Verdict, judge};
use crate::producer::{Producer, Running};
use crate::receiver;
use crate::tracker::{Counts, Tracker};

/// A start that takes longer has failed.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// A start that takes longer is objected to.
const READY_WANTED: Duration = Duration::from_secs(2);
/// Nothing may arrive for so long before the run is at rest.
const QUIET: Duration = Duration::from_secs(1);

/// A running experiment.
pub(crate) struct Lab {
    pub(crate) seed: u64,
    pub(crate) tracker: Arc<Tracker>,
    messages: Messages,
    limits: Limits,
    settle: Duration,
    launch: Launch,
    server: Option<Server>,
    producer: Option<Running>,
    ledgers: [Ledger; 2],
    ledger_paths: [PathBuf; 2],
    stop_receiver: oneshot::Sender<()>,
    /// How long each start took.
    starts: Vec<Duration>,
    kills: Vec<Kill>,
    /// What the modes object to, besides the oracle.
    pub(crate) objections: Vec<String>,
}

/// What differs between the modes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the server's data goes.
    pub(crate) data: PathBuf,
    pub(crate) payload_min: usize,
    /// Repeats tolerated, as a share of all deliveries.
    pub(crate) repeats_share: f64,
    /// See [`Producer::waiting_max`].
    pub(crate) waiting_max: usize,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) verdict: Verdict,
    /// Webhooks that were accepted at the source, and how many of them were sent again.
    pub(crate) received: u64,
    pub(crate) received_again: u64,
    pub(crate) starts: Vec<Duration>,
    /// From the last readiness to the last arrival that was not a repeat.
    pub(crate) settled: Duration,
}

impl Lab {
    /// Starts everything; messages flow when this returns.
    pub(crate) fn open(common: &Common, plan: &Plan) -> anyhow::Result<Self> {
        let ledgers_in = common.work.join("ledgers");
        drop(fs::remove_dir_all(&ledgers_in));
        drop(fs::remove_dir_all(&plan.data));
        fs::create_dir_all(&ledgers_in)?;
        fs::create_dir_all(&plan.data)?;
        let ledger_paths = ["producer", "receiver"].map(|name| ledgers_in.join(name));
        let ledgers = [
            Ledger::create(&ledger_paths[0], Durability::Synced)?,
            Ledger::create(&ledger_paths[1], Durability::Cached)?,
        ];
        let seed = common.seed();
        println!("seed {seed}");
        let tracker = Arc::new(Tracker::default());
        let (stop_receiver, stop) = oneshot::channel();
        let latency = Duration::from_millis(common.receiver_ms);
        let receiver = receiver::start(ledgers[1].pen(), Arc::clone(&tracker), latency, stop)?;
        let mut lab = Self {
            seed,
            tracker,
            messages: Messages {
                seed,
                size_min: plan.payload_min,
            },
            limits: Limits {
                repeats_per_kill: common.repeats_per_kill,
                unrecorded: Duration::from_millis(common.unrecorded_ms),
                repeats_share: plan.repeats_share,
            },
            settle: Duration::from_secs(common.settle_seconds),
            launch: launch(common, plan)?,
            server: None,
            producer: None,
            ledgers,
            ledger_paths,
            stop_receiver,
            starts: Vec::new(),
            kills: Vec::new(),
            objections: Vec::new(),
        };
        lab.start_server()?;
        let (application, source) = lab.create(&receiver.to_string())?;
        let producer = Producer {
            address: lab.launch.address,
            application,
            source,
            messages: lab.messages,
            per_second: common.rate,
            waiting_max: plan.waiting_max,
            pen: lab.ledgers[0].pen(),
            tracker: Arc::clone(&lab.tracker),
        };
        lab.producer = Some(producer.start());
        Ok(lab)
    }

    /// Makes the application with its endpoints, and the source; returns the latter's path.
    fn create(&self, receiver: &str) -> anyhow::Result<(String, String)> {
        let application = server::create_application(self.launch.address, "crashlab")?;
        for n in 0..ENDPOINTS {
            let endpoint = json!({ "url": format!("http://{receiver}/e/{n}"), "secret": secret() });
            server::create_endpoint(self.launch.address, &application, &endpoint)?;
        }
        let source = json!({
            "name": "Provider", "provider": "standard-webhooks", "secrets": [secret()],
        });
        let source = server::create_source(self.launch.address, &application, &source)?;
        Ok((application, source))
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start_server(&mut self) -> anyhow::Result<()> {
        let mut server = Server::start(&self.launch)?;
        let log = self.launch.log.display();
        let took = server
            .wait_ready(READY_LIMIT)
            .with_context(|| format!("see {log}"))?;
        if took > READY_WANTED {
            self.objections
                .push(format!("start {} took {took:.1?}", self.starts.len()));
        }
        self.starts.push(took);
        self.server = Some(server);
        Ok(())
    }

    /// Returns the server, which must be alive: it ends only when it is told to.
    pub(crate) fn take_server(&mut self) -> anyhow::Result<Server> {
        let mut server = self.server.take().expect("a server was started before");
        if !server.is_alive() {
            bail!(
                "the server ended by itself; see {}",
                self.launch.log.display()
            );
        }
        Ok(server)
    }

    pub(crate) fn server_is_alive(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::is_alive)
    }

    pub(crate) fn is_ready(&self) -> bool {
        server::is_ready(self.launch.address)
    }

    /// Kills the server and starts it again.
    pub(crate) fn kill_and_start(&mut self) -> anyhow::Result<()> {
        let server = self.take_server()?;
        let at = now_nanos();
        server.kill()?;
        self.start_server()?;
        self.kills.push(Kill {
            at,
            ready: now_nanos(),
        });
        Ok(())
    }

    /// Tells the producer to stop, and waits until every publish has its answer.
    pub(crate) fn stop_publishing(&mut self) -> anyhow::Result<()> {
        self.producer.take().map_or(Ok(()), Running::finish)
    }

    /// Waits until all arrived and nothing more comes, then reads the ledgers and judges.
    pub(crate) fn close(mut self) -> anyhow::Result<Outcome> {
        let ready = now_nanos();
        self.stop_publishing()?;
        self.wait_until_quiet();
        let settled = self.tracker.counts().last_arrival.saturating_sub(ready);
        self.take_server()?.kill()?;
        drop(self.stop_receiver);
        for ledger in self.ledgers {
            ledger.close()?;
        }
        let evidence = Evidence {
            messages: self.messages,
            publishes: read_publishes(&self.ledger_paths[0])?,
            deliveries: read_deliveries(&self.ledger_paths[1])?,
            kills: self.kills,
        };
        let mut verdict = judge(&evidence, self.limits);
        verdict.violations.extend(self.objections);
        verdict.violations.extend(self.tracker.take_objections());
        let Counts {
            received,
            received_again,
            ..
        } = self.tracker.counts();
        Ok(Outcome {
            seed: self.seed,
            verdict,
            received,
            received_again,
            starts: self.starts,
            settled: Duration::from_nanos(settled),
        })
    }

    fn wait_until_quiet(&self) {
        let (start, mut arrivals, mut since) = (Instant::now(), 0, Instant::now());
        while start.elapsed() < self.settle {
            let now = self.tracker.counts().arrivals;
            if now != arrivals {
                (arrivals, since) = (now, Instant::now());
            }
            if since.elapsed() > QUIET && self.tracker.missing() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn launch(common: &Common, plan: &Plan) -> anyhow::Result<Launch> {
    let beside = std::env::current_exe()?.with_file_name("posthaste");
    // A receiver that vanishes with the run is no reason to wait for hours.
    let schedule = ("POSTHASTE__DELIVERY__RETRY_SCHEDULE", "0s,1s,2s,5s,10s");
    let mut settings = vec![(schedule.0.to_owned(), schedule.1.to_owned())];
    for text in &common.settings {
        let (name, value) = text.split_once('=').context("--set takes NAME=VALUE")?;
        settings.push((name.into(), value.into()));
    }
    Ok(Launch {
        program: common.server.clone().unwrap_or(beside),
        subcommand: common.subcommand.clone(),
        address: server::free_address()?,
        data: plan.data.clone(),
        log: common.work.join("server.log"),
        settings,
    })
}

impl Outcome {
    /// Prints the row of a table and what is objected to; fails if anything is.
    pub(crate) fn conclude(&self, header: &[&str], cells: &[String]) -> anyhow::Result<()> {
        let rule = vec!["---"; header.len()];
        println!(
            "\n| {} |\n| {} |\n| {} |",
            header.join(" | "),
            rule.join(" | "),
            cells.join(" | ")
        );
        if self.verdict.violations.is_empty() {
            return Ok(());
        }
        println!();
        for violation in &self.verdict.violations {
            println!("- {violation}");
        }
        bail!(
            "{} violation(s) with seed {}",
            self.verdict.violations.len(),
            self.seed
        )
    }

    /// Returns the cells that every mode's table begins with; see [`COMMON_HEADER`].
    pub(crate) fn common_cells(&self) -> Vec<String> {
        let verdict = &self.verdict;
        vec![
            self.seed.to_string(),
            verdict.accepted.to_string(),
            format!("{} ({})", self.received, self.received_again),
            verdict.deliveries.to_string(),
            verdict.lost.to_string(),
            format!(
                "{} ({:.2} %)",
                verdict.repeats,
                verdict.repeats_share() * 100.0
            ),
            format!("{} ({})", verdict.unknown, verdict.unknown_delivered),
        ]
    }

    /// Returns the median and the longest start, in milliseconds.
    pub(crate) fn starts_cell(&self) -> String {
        let mut millis: Vec<u128> = self.starts.iter().map(Duration::as_millis).collect();
        millis.sort_unstable();
        let longest = millis.last().copied().unwrap_or(0);
        format!(
            "{} / {longest}",
            millis.get(millis.len() / 2).copied().unwrap_or(0)
        )
    }
}

/// The columns that every mode's table begins with.
pub(crate) const COMMON_HEADER: [&str; 7] = [
    "seed",
    "accepted",
    "of these webhooks (sent again)",
    "deliveries",
    "lost",
    "repeats",
    "answer lost (of these delivered)",
];

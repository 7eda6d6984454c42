//! Measures the server on this machine, beside a bare relay on the same cores.
//!
//! One command and no network but loopback. The parent drives; the publisher, the receiver, the
//! relay and the server are processes of their own, so that each one's CPU time shows. Rounds of
//! relay and server alternate, and their ratio is taken pair by pair: what the machine does to one
//! it does to the other.
//!
//! A message counts once it was delivered: rates run from the first publish to the last first
//! arrival of everything that was accepted.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness is the outside world: it opens sockets, reads real clocks and prints"
)]

mod bed;
mod report;
mod role;
mod scenario;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use posthaste_bench::machine::Machine;

use bed::Lab;
use report::Results;
use scenario::Scenario;

/// Measure the server beside a bare relay, and print tables in Markdown
#[derive(Clone, Debug, Parser)]
struct Options {
    /// What to measure; everything if none is named
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// The server's binary; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// A directory for the server's data; the disk under it is part of what is measured
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    data: PathBuf,
    /// How long each round publishes
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How many rounds; tables show the median
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Undelivered messages in the scenario `backlog`
    #[arg(long, value_name = "MESSAGES", default_value_t = 100_000)]
    backlog: u64,
    /// Messages stored and delivered in the scenario `stored`
    #[arg(long, value_name = "MESSAGES", default_value_t = 1_000_000)]
    stored: u64,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One short round of everything, as a test of the bench itself
    #[arg(long)]
    short: bool,
    /// Measure the relay alone
    #[arg(long)]
    relay_only: bool,
    /// Threads of the relay: 2 were faster at single publishes on two cores, 1 at batches
    #[arg(long, default_value_t = 2)]
    relay_threads: u8,
    /// More settings for the server, as in `POSTHASTE__DELIVERY__TIMEOUT=5s`
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("role-load") => role::load::main(),
        Some("role-receiver") => role::receiver::main(),
        Some("role-relay") => role::relay::main(),
        _ => measure(&Options::parse().shortened()),
    }
}

impl Options {
    fn shortened(self) -> Self {
        if !self.short {
            return self;
        }
        Self {
            seconds: 0.2,
            rounds: 1,
            backlog: 2_000,
            stored: 2_000,
            ..self
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    fs::create_dir_all(&options.data)?;
    let machine = Machine::look(&options.data)?;
    println!("{}\n", machine.markdown());
    let scenarios = match options.scenarios.as_slice() {
        [] => Scenario::all(options.relay_only),
        named => named.to_vec(),
    };
    let mut lab = Lab::new(options)?;
    let mut results = Results::new(machine, std::env::args().collect());
    for scenario in scenarios {
        let section = scenario
            .run(&mut lab)
            .with_context(|| format!("in `{scenario}`"))?;
        println!("{}", section.markdown());
        results.sections.push(section);
    }
    if let Some(path) = &options.json {
        write_json(path, &results)?;
    }
    results.verdict()
}

fn write_json(path: &Path, results: &Results) -> anyhow::Result<()> {
    let file = fs::File::create(path)?;
    Ok(serde_json::to_writer_pretty(file, results)?)
}

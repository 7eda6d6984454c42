//! Breaks the server under load and counts what was lost.
//!
//! Four parts, joined by ledgers on disk: a **producer** that notes every publish whose answer it
//! read, the built **server** as a child process, a **receiver** that notes every delivery, and an
//! **oracle** that compares the two ledgers when all is over. One seed drives the times of the
//! kills and the payloads; it is printed, so that a bad run can be repeated.
//!
//! What must hold after any of it:
//! - everything that was answered 202 reached every endpoint, under the id of the answer;
//! - a message has the same bytes wherever and however often it arrives, rightly signed;
//! - nothing arrives that was never published, or whose publish was refused;
//! - a publish repeated under the same idempotency key is one message, and so is a webhook that a
//!   provider repeats, whether it was answered or not;
//! - repeats are what was in flight at a kill, and no more.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness is the outside world: it opens sockets, reads real clocks and prints"
)]

mod full;
mod images;
mod kill;
mod lab;
mod ledger;
mod message;
mod oracle;
mod producer;
mod provider;
mod receiver;
mod seed;
mod term;
mod tracker;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use posthaste_bench::time::now_nanos;

/// Break the server under load, and count what was lost
#[derive(Clone, Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Clone, Debug, Subcommand)]
enum Mode {
    /// Kill it with SIGKILL, again and again
    Kill(kill::KillArgs),
    /// Ask it to end with SIGTERM, again and again
    Term(term::TermArgs),
    /// Fill its disk, and give the space back
    Full(full::FullArgs),
    /// Cut the power: make up disks as they may be found then, and look at each
    Images(images::ImagesArgs),
}

/// What every mode takes.
#[derive(Clone, Debug, Args)]
struct Common {
    /// The server's binary; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// The subcommand that serves
    #[arg(long, default_value = "serve")]
    subcommand: String,
    /// A directory for the server's data and the ledgers; emptied first
    #[arg(long, value_name = "DIR", default_value = "target/crashlab")]
    work: PathBuf,
    /// Drives the times of the kills and the payloads; by default from the clock
    #[arg(long)]
    seed: Option<u64>,
    /// Messages per second
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How long the receiver takes to answer, in milliseconds
    #[arg(long, default_value_t = 2)]
    receiver_ms: u64,
    /// How long everything may take to arrive after the last start, in seconds
    #[arg(long, default_value_t = 30)]
    settle_seconds: u64,
    /// Repeats allowed at one kill: the server's `engine.in_flight`
    #[arg(long, default_value_t = 2_048)]
    repeats_per_kill: u64,
    /// How long an outcome may be unrecorded, in milliseconds: a few commits on a busy disk
    #[arg(long, default_value_t = 500)]
    unrecorded_ms: u64,
    /// More settings for the server, as in `POSTHASTE__DELIVERY__TIMEOUT=5s`
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

impl Common {
    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| now_nanos() % 1_000_000)
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().mode {
        Mode::Kill(args) => kill::run(&args),
        Mode::Term(args) => term::run(&args),
        Mode::Full(args) => full::run(&args),
        Mode::Images(args) => images::run(&args),
    }
}

//! `sim`: runs seeds, on all cores, and prints those that broke a promise.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a command-line program talks, and says how long it took"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Parser;
use posthaste_sim::{Canary, History, Run, simulate};

/// Run the engine in a simulated world, and break that world by plan
#[derive(Debug, Parser)]
struct Options {
    /// Run this one and print everything that happened
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds to run
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them; by default from the clock
    #[arg(long)]
    from: Option<u64>,
    /// Plant a fault, which must be found
    #[arg(long)]
    canary: Option<Canary>,
}

#[derive(Default)]
struct Sum {
    accepted: usize,
    requests: usize,
    deaths: usize,
    broken: Vec<(u64, Vec<String>)>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(seed) = options.seed {
        return one(seed, options.canary);
    }
    let from = match options.from {
        Some(from) => from,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * 10_000,
    };
    let began = Instant::now();
    let sum = many(from, options.seeds, options.canary);
    let took = began.elapsed();
    println!(
        "{} seeds from {from} in {:.1} s ({:.0} per minute): {} messages accepted, {} requests, \
         {} deaths, {} broken",
        options.seeds,
        took.as_secs_f64(),
        rate(options.seeds, took.as_secs_f64()),
        sum.accepted,
        sum.requests,
        sum.deaths,
        sum.broken.len()
    );
    for (seed, violations) in sum.broken.iter().take(20) {
        println!("- `cargo xtask sim --seed {seed}`: {}", violations[0]);
    }
    conclude(sum.broken.len(), options.canary)
}

fn rate(seeds: u64, seconds: f64) -> f64 {
    let seeds = u32::try_from(seeds).unwrap_or(u32::MAX);
    f64::from(seeds) / seconds * 60.0
}

fn conclude(broken: usize, canary: Option<Canary>) -> anyhow::Result<()> {
    match canary {
        None if broken > 0 => bail!("{broken} seeds broke a promise"),
        Some(canary) if broken == 0 => bail!("nobody noticed `{}`", canary.name()),
        _ => Ok(()),
    }
}

fn one(seed: u64, canary: Option<Canary>) -> anyhow::Result<()> {
    let history = simulate(Run { seed, canary });
    for line in &history.trace {
        println!("{line}");
    }
    for violation in &history.violations {
        println!("- {violation}");
    }
    conclude(usize::from(!history.violations.is_empty()), canary)
        .with_context(|| format!("seed {seed}"))
}

/// Runs seeds on all cores: each takes the next that nobody has taken yet.
fn many(from: u64, count: u64, canary: Option<Canary>) -> Sum {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = taken(&next, count).map(|offset| from + offset) {
                    let history = simulate(Run { seed, canary });
                    add(&sum, seed, history);
                }
            });
        }
    });
    sum.into_inner().expect("no thread panicked")
}

fn taken(next: &AtomicU64, count: u64) -> Option<u64> {
    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|offset| *offset < count)
}

fn add(sum: &Mutex<Sum>, seed: u64, history: History) {
    let mut sum = sum.lock().expect("no panic while it is held");
    sum.accepted += history.accepted;
    sum.requests += history.requests;
    sum.deaths += history.deaths;
    if !history.violations.is_empty() {
        sum.broken.push((seed, history.violations));
    }
}

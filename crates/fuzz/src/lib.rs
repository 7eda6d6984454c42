//! Feeds bytes that nobody would think of to whatever reads bytes from outside.
//!
//! A target is a test that calls [`run`]. Its seeds lie in `corpus/<target>/`, one input a file;
//! they are tried as they are, and then changed: bits flipped, pieces cut out, doubled, swapped
//! with another seed's, numbers put at their ends. An input may not make the target panic, take
//! longer than [`LIMIT`], or have the process grow by more than [`GROWTH_MAX`].
//!
//! `cargo test` tries the same inputs each time, a second's worth or so. With
//! `POSTHASTE_FUZZ_SECONDS` (`cargo xtask fuzz`) each target runs for that long from another start
//! each time. An input that fails is printed and kept beside the seeds, where every later run
//! tries it first.
//!
//! Not guided by coverage: that needs a nightly compiler, and the parsers here are small enough
//! for their seeds to reach into every corner.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool for tests, which measures time and says what it has done"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one input may take; a build for debugging is several times slower.
pub const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 100 });
/// By how many bytes a target may make the process grow.
pub const GROWTH_MAX: u64 = 64 * 1024 * 1024;
/// The longest input that is made of the seeds.
const INPUT_MAX: usize = 64 * 1024;
/// How many inputs a short run tries.
const INPUTS: u64 = 4_000;
/// How many changes are made to a seed at most.
const CHANGES_MAX: u64 = 6;
/// Texts at which parsers have failed before.
const HARD: [&str; 24] = [
    "0",
    "-1",
    "1e308",
    "99999999999999999999",
    "NaN",
    "\0",
    "\r\n",
    "%00",
    "\u{202e}",
    "\u{feff}",
    "①",
    "。",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\u0000",
    "\\ud800",
    ",",
    ".",
    "@",
    "*",
    "::ffff:",
];

/// Runs a target: `check` panics where an input shows a fault.
pub fn run(target: &str, mut check: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let seeds = seeds(&folder);
    assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
    let before = resident();
    for seed in &seeds {
        attempt(&folder, seed, &mut check);
    }
    let seconds = std::env::var("POSTHASTE_FUZZ_SECONDS").ok();
    let seconds = seconds
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let start = seconds.map_or(1, |_| u64::from(std::process::id()));
    let (mut chance, began) = (Chance(start), Instant::now());
    let mut tried = 0;
    while seconds.map_or(tried < INPUTS, |seconds| began.elapsed() < seconds) {
        attempt(&folder, &chance.change(&seeds), &mut check);
        tried += 1;
    }
    // Only the long form has the process to itself; in the short one other tests make it grow.
    let grown = resident().saturating_sub(before);
    assert!(
        seconds.is_none() || grown < GROWTH_MAX,
        "{target} made the process grow by {grown} bytes"
    );
    println!("{target}: {tried} inputs of {} seeds", seeds.len());
}

/// Tries one input; keeps it if it fails.
fn attempt(folder: &Path, input: &[u8], check: &mut impl FnMut(&[u8])) {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| check(input)));
    let took = began.elapsed();
    // Once more when it was slow, which on a busy machine says nothing of the input.
    let is_slow = took > LIMIT && {
        let again = Instant::now();
        let _ = catch_unwind(AssertUnwindSafe(|| check(input)));
        again.elapsed() > LIMIT
    };
    if outcome.is_ok() && !is_slow {
        return;
    }
    let kept = folder.join(format!("found-{:016x}", digest(input)));
    fs::write(&kept, input).expect("the corpus can be written");
    println!("kept as {}: {}", kept.display(), input.escape_ascii());
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    panic!("one input took {took:?}");
}

fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| fs::read(path).expect("a seed is a file");
    paths.iter().map(read).collect()
}

/// The process's size in bytes; nothing where that cannot be told.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

fn digest(input: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    input.iter().fold(0xcbf2_9ce4_8422_2325, fold)
}

/// Random numbers (SplitMix64), the same for the same start.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("lengths fit");
        usize::try_from(self.next() % bound).expect("it is below a length")
    }

    /// A piece of an input, often short.
    fn piece(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let longest = if self.below(4) == 0 {
            len - start
        } else {
            8.min(len - start)
        };
        start..start + self.below(longest + 1)
    }

    /// A seed with some changes.
    fn change(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.next() % CHANGES_MAX {
            self.change_once(&mut input, seeds);
        }
        input.truncate(INPUT_MAX);
        input
    }

    fn change_once(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.piece(input.len());
        match self.below(8) {
            0 if !input.is_empty() => {
                let index = self.below(input.len());
                input[index] ^= 1 << self.below(8);
            }
            1 => drop(input.drain(at)),
            2 => {
                let piece = input[at.clone()].to_vec();
                input.splice(at.start..at.start, piece);
                input.truncate(INPUT_MAX);
            }
            3 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.piece(other.len());
                input.splice(at, other[from].iter().copied());
            }
            4 => {
                let hard = HARD[self.below(HARD.len())];
                input.splice(at, hard.bytes());
            }
            5 => {
                // What is harmless once may not be so a thousand times.
                let most = INPUT_MAX / at.len().max(1);
                let piece = input[at.clone()].repeat((1 << self.below(11)).min(most));
                input.splice(at, piece);
                input.truncate(INPUT_MAX);
            }
            6 => input.truncate(at.start),
            _ => {
                let byte = u8::try_from(self.next() & 0xff).expect("it was masked");
                input.splice(at, [byte]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_start_makes_the_same_inputs() {
        let seeds = [b"one".to_vec(), b"two".to_vec()];
        let inputs = |start| {
            let mut chance = Chance(start);
            (0..100).map(|_| chance.change(&seeds)).collect::<Vec<_>>()
        };

        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    /// The canary: a target with a fault is caught, and what showed it is kept.
    #[test]
    fn a_fault_is_found_and_its_input_kept() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/canary");
        let found = catch_unwind(|| {
            run("canary", |input| {
                assert!(!input.windows(2).any(|pair| pair == b"%0"), "a fault");
            });
        });
        let kept: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("found-"))
            .collect();
        for path in &kept {
            fs::remove_file(path).unwrap();
        }

        assert!(found.is_err());
        assert_eq!(kept.len(), 1);
    }
}

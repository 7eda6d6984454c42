//! A fixed few seeds at each change; `cargo xtask sim` runs thousands of fresh ones.

use posthaste_sim::{Canary, Run, simulate};

/// Without optimisation a seed takes several times as long.
const SEEDS: u64 = if cfg!(debug_assertions) { 20 } else { 200 };
/// A canary must be found within so many.
const CANARY_SEEDS: u64 = 40;

/// Runs seeds on two threads, as a machine of the size that tests have can.
fn all(seeds: std::ops::Range<u64>, check: impl Fn(u64) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for part in 0..2 {
            let seeds = seeds.clone().filter(move |seed| seed % 2 == part);
            scope.spawn(move || seeds.for_each(check));
        }
    });
}

#[test]
fn no_seed_breaks_a_promise() {
    all(0..SEEDS, |seed| {
        let history = simulate(Run { seed, canary: None });

        assert!(
            history.violations.is_empty(),
            "`cargo xtask sim --seed {seed}`: {:#?}",
            history.violations
        );
        assert!(history.accepted > 0, "seed {seed} published nothing");
    });
}

#[test]
fn the_same_seed_gives_the_same_history_line_by_line() {
    for seed in 0..SEEDS / 10 {
        let run = Run { seed, canary: None };
        let (first, again) = (simulate(run), simulate(run));

        let differs = first.trace.iter().zip(&again.trace).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed} is not the same twice");
        assert_eq!(first, again, "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_history() {
    let trace = |seed| simulate(Run { seed, canary: None }).trace;

    assert_ne!(trace(1), trace(2));
}

#[test]
fn every_planted_fault_is_found() {
    for canary in Canary::ALL {
        let found = (0..CANARY_SEEDS).find(|seed| {
            let run = Run {
                seed: *seed,
                canary: Some(canary),
            };
            !simulate(run).violations.is_empty()
        });

        assert!(found.is_some(), "nobody noticed `{}`", canary.name());
    }
}

//! Runs the real engine in a simulated world, and breaks that world by plan.
//!
//! One seed is one life of a server: the engine's own intake, lanes, recorder and scheduler, over
//! the embedded store in memory, with a network, a clock and a store that misbehave as the seed
//! says. Time is simulated, so minutes take milliseconds, and nothing but the seed decides what
//! happens: the same seed gives the same history, line by line.
//!
//! A life has two phases. In the first the world is broken: the process dies between two steps of
//! a write, outcomes of a dead process reach the store after its successor took over, the disk is
//! full or slow, receivers fail, hang, or take a delivery and lose the answer, the clock jumps. In
//! the second all is healed, and everything must come to its end in bounded time.
//!
//! What is watched is said in [`witness`]; what a [`Canary`] is for, there.

mod canary;
mod flag;
mod gate;
mod life;
mod network;
mod provider;
mod verdict;
pub mod witness;
mod world;

use std::time::Duration;

pub use canary::Canary;
use world::World;

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Everything that happened, in order, with its time.
    pub trace: Vec<String>,
    /// What must not happen and did.
    pub violations: Vec<String>,
    /// Messages whose publish was answered with success.
    pub accepted: usize,
    /// Requests that receivers got.
    pub requests: usize,
    /// How often the process died.
    pub deaths: usize,
}

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Decides everything.
    pub seed: u64,
    /// A fault planted on purpose, which must be found.
    pub canary: Option<Canary>,
}

/// Runs one life on the calling thread.
pub fn simulate(run: Run) -> History {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without input and output needs nothing of the system");
    let history = runtime.block_on(async {
        let mut world = World::new(run).await;
        world.break_things().await;
        world.heal().await;
        world.judge().await
    });
    // What a dead process left behind waits for ever, by design.
    runtime.shutdown_timeout(Duration::ZERO);
    history
}

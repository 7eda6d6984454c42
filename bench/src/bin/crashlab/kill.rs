//! `crashlab kill`: SIGKILL at moments drawn from the seed, restart at once.

use std::thread;

use clap::Args;

use crate::Common;
use crate::lab::{COMMON_HEADER, Lab, Plan};
use crate::seed::Numbers;

#[derive(Clone, Debug, Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    common: Common,
    /// How often
    #[arg(long, default_value_t = 25)]
    kills: usize,
}

/// Between a start and the next kill, in milliseconds: early enough to hit the start's own work.
const LEAST_MS: u64 = 50;
const MOST_MS: u64 = 2_000;

pub(crate) fn run(args: &KillArgs) -> anyhow::Result<()> {
    let data = args.common.work.join("data");
    let plan = Plan {
        data,
        payload_min: 64,
        repeats_share: 0.01,
        waiting_max: 4_096,
    };
    let mut lab = Lab::open(&args.common, &plan)?;
    let mut waits = Numbers::new(lab.seed);
    for _ in 0..args.kills {
        thread::sleep(waits.wait(LEAST_MS, MOST_MS));
        lab.kill_and_start()?;
    }
    let outcome = lab.close()?;
    let header = [
        COMMON_HEADER.as_slice(),
        &[
            "kills",
            "most repeats at one",
            "longest unrecorded",
            "ready ms median/max",
            "delivered after last start",
        ],
    ]
    .concat();
    let mut cells = outcome.common_cells();
    cells.extend([
        args.kills.to_string(),
        outcome.verdict.repeats_peak.to_string(),
        format!("{} ms", outcome.verdict.unrecorded_peak.as_millis()),
        outcome.starts_cell(),
        format!("{:.1} s", outcome.settled.as_secs_f64()),
    ]);
    outcome.conclude(&header, &cells)
}

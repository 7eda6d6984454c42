//! `crashlab term`: SIGTERM under load. Whatever was in flight is finished and recorded, so
//! nothing at all may be repeated.

use std::thread;
use std::time::Duration;

use clap::Args;

use crate::Common;
use crate::lab::{COMMON_HEADER, Lab, Plan};
use crate::seed::Numbers;

#[derive(Clone, Debug, Args)]
pub(crate) struct TermArgs {
    #[command(flatten)]
    common: Common,
    /// How often
    #[arg(long, default_value_t = 5)]
    times: usize,
    /// The shutdown deadline of the server, in seconds
    #[arg(long, default_value_t = 25)]
    deadline_seconds: u64,
}

pub(crate) fn run(args: &TermArgs) -> anyhow::Result<()> {
    let data = args.common.work.join("data");
    let plan = Plan {
        data,
        payload_min: 64,
        repeats_share: 0.0,
        waiting_max: 4_096,
    };
    let mut lab = Lab::open(&args.common, &plan)?;
    let mut waits = Numbers::new(lab.seed);
    // A second more than the deadline, for the exit itself.
    let limit = Duration::from_secs(args.deadline_seconds + 1);
    let mut longest = Duration::ZERO;
    for _ in 0..args.times {
        thread::sleep(waits.wait(500, 2_000));
        let (status, took) = lab.take_server()?.terminate(limit)?;
        if !status.success() {
            lab.objections
                .push(format!("after SIGTERM the server ended with {status}"));
        }
        longest = longest.max(took);
        lab.start_server()?;
    }
    let outcome = lab.close()?;
    let header = [
        COMMON_HEADER.as_slice(),
        &["SIGTERMs", "longest exit", "ready ms median/max"],
    ]
    .concat();
    let mut cells = outcome.common_cells();
    cells.extend([
        args.times.to_string(),
        format!("{:.2} s", longest.as_secs_f64()),
        outcome.starts_cell(),
    ]);
    outcome.conclude(&header, &cells)
}

//! The parts that run in processes of their own.

pub(crate) mod load;
pub(crate) mod receiver;
pub(crate) mod relay;

use std::future::Future;
use std::io::{self, BufRead as _, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// Runs `work` on a runtime of one thread, with `spawn_local`.
pub(crate) fn run_local<F: Future>(work: F) -> anyhow::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

/// Reads the next command of the parent; `None` once the parent is gone.
pub(crate) fn next_command<C: DeserializeOwned>() -> anyhow::Result<Option<C>> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

/// Reports to the parent.
pub(crate) fn report(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

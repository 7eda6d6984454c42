//! What the figures were measured on.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

use crate::latency::{Latencies, Percentiles, millis};

const SYNCS: usize = 200;

/// The machine, its disk's mood included.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
    /// The file system of the data directory.
    pub file_system: String,
    /// Appending 4 KiB and `fdatasync`, 200 times, in microseconds.
    pub sync: Percentiles,
}

impl Machine {
    /// Looks at the machine, and measures the disk below `data`.
    pub fn look(data: &Path) -> anyhow::Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo")?
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or_else(
                || "unknown".into(),
                |rest| rest.trim_start_matches([' ', '\t', ':']).into(),
            );
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            cpu,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .into(),
            file_system: file_system(data)?,
            sync: sync_latency(data)?,
        })
    }

    /// Writes the paragraph that goes above the tables.
    pub fn markdown(&self) -> String {
        format!(
            "{} cores of {}, Linux {}, data on {}; \
             4 KiB append and fdatasync {} ms p50, {} ms p99.",
            self.cores,
            self.cpu,
            self.kernel,
            self.file_system,
            millis(self.sync.p50),
            millis(self.sync.p99)
        )
    }
}

/// Finds the mount with the longest path that `data` is below.
fn file_system(data: &Path) -> anyhow::Result<String> {
    let data = data.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let below = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (mount, kind) = (words.next()?, words.next()?);
        data.starts_with(mount)
            .then(|| (mount.len(), kind.to_owned()))
    };
    mounts
        .lines()
        .filter_map(below)
        .max()
        .map(|(_, kind)| kind)
        .context("no mount holds the data")
}

fn sync_latency(data: &Path) -> anyhow::Result<Percentiles> {
    let path = data.join("sync-probe");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let (mut latencies, start) = (Latencies::default(), Instant::now());
    let nanos = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    for _ in 0..SYNCS {
        let before = nanos();
        file.write_all(&[b'x'; 4096])?;
        file.sync_data()?;
        latencies.add(before, nanos());
    }
    fs::remove_file(path)?;
    Ok(latencies.percentiles())
}

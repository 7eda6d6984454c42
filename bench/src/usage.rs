//! What a process used, from `/proc`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Clock ticks per second in `/proc`: 100 on every Linux that matters, whatever its kernel's HZ.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the CPU seconds (user and system) that a process has used, to 10 ms.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_cpu_seconds(&stat).context("/proc/PID/stat has another shape")
}

fn parse_cpu_seconds(stat: &str) -> Option<f64> {
    // The name in parentheses may hold spaces and parentheses; what follows the last one does not.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// Returns a process's resident memory in bytes.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    field(&status, "VmRSS:")
        .map(|kib| kib * 1024)
        .context("/proc/PID/status has no VmRSS")
}

/// Returns the bytes that a process caused to be written to disk so far.
pub fn written_bytes(pid: u32) -> anyhow::Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    field(&io, "write_bytes:").context("/proc/PID/io has no write_bytes")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Returns how often the block device under `path` was told to flush its cache.
///
/// Every fsync of a journalling file system ends in one, so on an otherwise quiet machine the
/// difference is the number of fsyncs, at no cost to the process. `None` where there is no block
/// device (tmpfs, overlays).
pub fn flushes(path: &Path) -> Option<u64> {
    let device = fs::metadata(path).ok()?.dev();
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(15)?.parse().ok()
}

/// Returns the bytes of all files below `directory`, as allocated on disk.
pub fn stored_bytes(directory: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A file may vanish between the two calls: a journal that was checkpointed.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        sum += if metadata.is_dir() {
            stored_bytes(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 99 0 0";

        assert_eq!(parse_cpu_seconds(stat), Some(2.0));
    }

    #[test]
    fn this_process_has_memory_and_has_used_some_cpu_at_most_its_age() {
        let pid = std::process::id();

        assert!(resident_bytes(pid).unwrap() > 100 * 1024);
        assert!(cpu_seconds(pid).unwrap() < 3_600.0);
    }
}

//! What a disk may hold after the power was cut: everything that was synced, and of everything
//! that was not, whatever it pleases.

use std::fs;
use std::path::Path;

use super::trace::{Event, Trace};
use crate::seed::Numbers;

/// The least that a disk writes as a whole.
const SECTOR: usize = 512;

/// The files of a trace at one moment.
pub(crate) struct Disk<'t> {
    trace: &'t Trace,
    /// Events up to this one have happened.
    at: usize,
    /// The durable bytes of each file; `None` for one that is not there.
    durable: Vec<Option<Vec<u8>>>,
    /// Of each file, the events that are not durable yet.
    pending: Vec<Vec<usize>>,
    /// Publishes answered so far.
    pub(crate) accepted: u64,
}

impl<'t> Disk<'t> {
    pub(crate) fn new(trace: &'t Trace) -> Self {
        let files = trace.files.len();
        Self {
            trace,
            at: 0,
            durable: vec![None; files],
            pending: vec![Vec::new(); files],
            accepted: 0,
        }
    }

    /// Lets everything happen up to the event numbered `end`.
    pub(crate) fn run_to(&mut self, end: usize) {
        while self.at < end {
            match &self.trace.events[self.at] {
                Event::Write { file, .. } | Event::Resize { file, .. } => {
                    self.pending[*file].push(self.at);
                }
                Event::Synced { file, begun } => self.sync(*file, *begun),
                Event::Erased { file } => {
                    self.durable[*file] = None;
                    self.pending[*file].clear();
                }
                Event::Accepted => self.accepted += 1,
            }
            self.at += 1;
        }
    }

    fn sync(&mut self, file: usize, begun: usize) {
        let pending = std::mem::take(&mut self.pending[file]);
        let (done, rest): (Vec<_>, Vec<_>) = pending.into_iter().partition(|at| *at < begun);
        self.pending[file] = rest;
        let bytes = self.durable[file].get_or_insert_default();
        for at in done {
            apply(bytes, &self.trace.events[at], |_| true);
        }
    }

    /// Says whether anything is not durable.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.pending.iter().any(|pending| !pending.is_empty())
    }

    /// Writes the files as the disk may hold them, under their own names, into `folder`.
    pub(crate) fn write_image(&self, numbers: &mut Numbers, folder: &Path) -> anyhow::Result<()> {
        let manner = Manner::drawn(numbers);
        for (file, path) in self.trace.files.iter().enumerate() {
            let Some(name) = path.file_name() else {
                continue;
            };
            let target = folder.join(name);
            let pending = &self.pending[file];
            if self.durable[file].is_none() && pending.is_empty() {
                drop(fs::remove_file(&target));
                continue;
            }
            let mut bytes = self.durable[file].clone().unwrap_or_default();
            let kept = numbers.below(pending.len() + 1);
            for (nth, at) in pending.iter().enumerate() {
                let event = &self.trace.events[*at];
                let chance = |_: usize| numbers.next().is_multiple_of(2);
                match manner {
                    Manner::Subset => apply(&mut bytes, event, |_| true),
                    Manner::Prefix if nth < kept => apply(&mut bytes, event, |_| true),
                    // The first that did not get through got through in part.
                    Manner::Prefix | Manner::Torn => apply(&mut bytes, event, chance),
                }
            }
            fs::write(target, bytes)?;
        }
        Ok(())
    }
}

/// What the disk does with what was not synced.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Some of the writes, in no order.
    Subset,
    /// The first so many, and some sectors of the next.
    Prefix,
    /// Some sectors of each.
    Torn,
}

impl Manner {
    fn drawn(numbers: &mut Numbers) -> Self {
        match numbers.below(3) {
            0 => Self::Subset,
            1 => Self::Prefix,
            _ => Self::Torn,
        }
    }
}

/// Does an event to a file's bytes, those sectors of it that `keeps` says.
fn apply(bytes: &mut Vec<u8>, event: &Event, mut keeps: impl FnMut(usize) -> bool) {
    match event {
        Event::Write {
            offset,
            bytes: written,
            ..
        } => {
            let mut from = 0;
            while from < written.len() {
                let at = offset + from;
                let next = (at / SECTOR + 1) * SECTOR;
                let to = written.len().min(next - offset);
                if keeps(at / SECTOR) {
                    let end = offset + to;
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[at..end].copy_from_slice(&written[from..to]);
                }
                from = to;
            }
        }
        Event::Resize { len, .. } if keeps(0) => bytes.resize(*len, 0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn write(offset: usize, byte: u8, len: usize) -> Event {
        Event::Write {
            file: 0,
            offset,
            bytes: vec![byte; len],
        }
    }

    fn trace(events: Vec<Event>) -> Trace {
        Trace::of(vec![PathBuf::from("/d/log")], events)
    }

    fn image(disk: &Disk<'_>, seed: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let mut numbers = Numbers::new(seed);
        disk.write_image(&mut numbers, folder.path()).unwrap();
        fs::read(folder.path().join("log")).unwrap_or_default()
    }

    #[test]
    fn what_was_synced_is_in_every_image() {
        let trace = trace(vec![
            write(0, 1, 1024),
            Event::Synced { file: 0, begun: 1 },
            write(1024, 2, 1024),
        ]);
        let mut disk = Disk::new(&trace);
        disk.run_to(3);

        let images: Vec<_> = (0..100).map(|seed| image(&disk, seed)).collect();

        assert!(images.iter().all(|image| image[..1024] == [1; 1024]));
        assert!(images.iter().any(|image| image.len() == 1024), "none of it");
        assert!(images.iter().any(|image| image.len() == 2048), "all of it");
        let torn = |image: &Vec<u8>| image.len() == 2048 && image[1024] == 0;
        assert!(images.iter().any(torn), "half of it");
    }

    #[test]
    fn what_was_written_while_a_sync_ran_is_not_durable_by_it() {
        let trace = trace(vec![
            write(0, 1, 512),
            write(512, 2, 512),
            Event::Synced { file: 0, begun: 1 },
        ]);
        let mut disk = Disk::new(&trace);
        disk.run_to(3);

        assert!(disk.is_unsettled());
        let lost = (0..100).any(|seed| image(&disk, seed).len() == 512);
        assert!(lost, "the second may be gone");
    }
}

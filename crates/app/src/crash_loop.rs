//! Breaks crash loops: a delivery that kills the process each time it is sent.
//!
//! After an unclean end the engine starts cautiously, and what it has in hand is written to a
//! file as it goes (without syncing: a crash of the process does not take the page cache with
//! it). What was in hand at two recorded ends in a row, each less than a minute after its start,
//! is suspected at the third unclean start: it is named in the log and held back.
//!
//! A kill from outside leaves the same traces, but what is in hand then differs from time to
//! time, so the two rarely have anything in common.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use domain::{EndpointKey, MessageKey, Timestamp};
use engine::{InHand, Suspects};

const IN_HAND: &str = "in-hand";
const LAST: &str = "crashes";
/// Ends later than this after their start are not part of a loop.
const LOOP: Duration = Duration::from_mins(1);
/// One delivery in hand: the keys of endpoint and message.
const SLOT: usize = 16;

type Delivery = (EndpointKey, MessageKey);

/// What earlier ends say, and the file for what is in hand from now on.
pub(crate) struct AfterCrash {
    /// What to hold back.
    pub(crate) suspects: Suspects,
    /// Where to note what is in hand.
    pub(crate) in_hand: Arc<InHandFile>,
}

/// Looks at the traces of an unclean end, and prepares for another one.
pub(crate) fn after_crash(folder: &Path, now: Timestamp) -> anyhow::Result<AfterCrash> {
    let recent = last_start(folder).is_some_and(|start| now.since(start) < LOOP);
    let last = if recent {
        in_hand_at_the_end(folder)
    } else {
        HashSet::new()
    };
    let before = if recent {
        noted(folder)
    } else {
        HashSet::new()
    };
    let suspects: HashSet<Delivery> = last.intersection(&before).copied().collect();
    let lines: Vec<String> = last
        .iter()
        .map(|(endpoint, message)| format!("{} {}", endpoint.0, message.0))
        .collect();
    let text = format!("{}\n{}\n", now.as_micros(), lines.join("\n"));
    std::fs::write(folder.join(LAST), text).context("could not write to the data directory")?;
    let file = File::create(folder.join(IN_HAND)).context("could not note what is in hand")?;
    for (endpoint, message) in &suspects {
        tracing::error!(
            endpoint.key = endpoint.0,
            message.key = message.0,
            "In hand at each of the last crashes: held back until it is resent by hand"
        );
    }
    let in_hand = Arc::new(InHandFile {
        file,
        slots: Mutex::default(),
    });
    // A suspect stays one for as long as the crashes go on, although it is no longer sent.
    for (endpoint, message) in &suspects {
        in_hand.begin(*endpoint, *message);
    }
    Ok(AfterCrash {
        suspects: Arc::new(suspects),
        in_hand,
    })
}

/// Forgets the traces, when a run ended in order.
pub(crate) fn forget(folder: &Path) {
    let _ = std::fs::remove_file(folder.join(LAST));
    let _ = std::fs::remove_file(folder.join(IN_HAND));
}

fn last_start(folder: &Path) -> Option<Timestamp> {
    let text = std::fs::read_to_string(folder.join(LAST)).ok()?;
    Some(Timestamp::from_micros(text.lines().next()?.parse().ok()?))
}

fn noted(folder: &Path) -> HashSet<Delivery> {
    let text = std::fs::read_to_string(folder.join(LAST)).unwrap_or_default();
    let delivery = |line: &str| {
        let (endpoint, message) = line.split_once(' ')?;
        Some((
            EndpointKey(endpoint.parse().ok()?),
            MessageKey(message.parse().ok()?),
        ))
    };
    text.lines().skip(1).filter_map(delivery).collect()
}

fn in_hand_at_the_end(folder: &Path) -> HashSet<Delivery> {
    let bytes = std::fs::read(folder.join(IN_HAND)).unwrap_or_default();
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight of them"));
    let slots = bytes
        .chunks_exact(SLOT)
        .map(|slot| (number(&slot[..8]), number(&slot[8..])));
    slots
        .filter(|slot| *slot != (0, 0))
        .map(|(endpoint, message)| (EndpointKey(endpoint), MessageKey(message)))
        .collect()
}

/// A file of fixed slots, one for each delivery in hand.
pub(crate) struct InHandFile {
    file: File,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    taken: HashMap<Delivery, usize>,
    free: Vec<usize>,
    made: usize,
}

impl InHandFile {
    fn write(&self, slot: usize, endpoint: i64, message: i64) {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(&endpoint.to_le_bytes());
        bytes[8..].copy_from_slice(&message.to_le_bytes());
        // Without the note a crash loop takes one round longer to break; no reason to fail.
        let _ = self.file.write_all_at(&bytes, (slot * SLOT) as u64);
    }
}

impl InHand for InHandFile {
    fn begin(&self, endpoint: EndpointKey, message: MessageKey) {
        let mut slots = self.slots.lock().expect("no panic while it is held");
        let slot = slots.free.pop().unwrap_or(slots.made);
        slots.made = slots.made.max(slot + 1);
        slots.taken.insert((endpoint, message), slot);
        self.write(slot, endpoint.0, message.0);
    }

    fn end(&self, endpoint: EndpointKey, message: MessageKey) {
        let mut slots = self.slots.lock().expect("no panic while it is held");
        if let Some(slot) = slots.taken.remove(&(endpoint, message)) {
            slots.free.push(slot);
            self.write(slot, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn delivery(number: i64) -> Delivery {
        (EndpointKey(number), MessageKey(number))
    }

    /// Starts after a crash and crashes again with these deliveries in hand.
    fn crash(folder: &Path, now: Timestamp, in_hand: &[i64], done: &[i64]) -> Suspects {
        let after = after_crash(folder, now).expect("prepared");
        for number in in_hand.iter().chain(done) {
            after
                .in_hand
                .begin(delivery(*number).0, delivery(*number).1);
        }
        for number in done {
            after.in_hand.end(delivery(*number).0, delivery(*number).1);
        }
        after.suspects
    }

    #[test]
    fn what_was_in_hand_at_two_ends_in_a_row_is_suspected_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = Timestamp::from_unix_seconds(1_000);

        let first = crash(folder.path(), now, &[1, 2], &[3]);
        let second = crash(folder.path(), now.plus(SECOND), &[2, 4], &[1]);
        let third = crash(folder.path(), now.plus(2 * SECOND), &[5], &[]);
        let fourth = crash(folder.path(), now.plus(3 * SECOND), &[6], &[]);

        assert!(first.is_empty() && second.is_empty());
        assert_eq!(*third, HashSet::from([delivery(2)]));
        assert_eq!(
            *fourth,
            HashSet::from([delivery(2)]),
            "for as long as the crashes go on"
        );
    }

    #[test]
    fn ends_that_are_minutes_apart_are_no_loop() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = Timestamp::from_unix_seconds(1_000);

        crash(folder.path(), now, &[1], &[]);
        crash(folder.path(), now.plus(61 * SECOND), &[1], &[]);
        let third = crash(folder.path(), now.plus(122 * SECOND), &[1], &[]);

        assert!(third.is_empty());
    }
}

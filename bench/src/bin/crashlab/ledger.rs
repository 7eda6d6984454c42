//! Append-only files of what was seen: one line per event, fields separated by tabs.

use std::fs::{File, read_to_string};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;

/// Whether a ledger is synced after each batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// What the producer notes counts against the server, so it must be as durable as that.
    Synced,
    /// What the receiver notes is read on the same boot: the page cache will do.
    Cached,
}

/// An open ledger. Lines are written in batches by a thread of its own.
#[derive(Debug)]
pub(crate) struct Ledger {
    lines: Sender<String>,
    writer: JoinHandle<anyhow::Result<()>>,
}

/// A way to write into a ledger, one per writer.
pub(crate) type Pen = Sender<String>;

impl Ledger {
    pub(crate) fn create(path: &Path, durability: Durability) -> anyhow::Result<Self> {
        let file = File::create(path)?;
        let (lines, waiting) = mpsc::channel::<String>();
        let writer = thread::spawn(move || {
            let mut out = BufWriter::new(file);
            while let Ok(first) = waiting.recv() {
                for line in std::iter::once(first).chain(waiting.try_iter()) {
                    writeln!(out, "{line}")?;
                }
                out.flush()?;
                if durability == Durability::Synced {
                    out.get_ref().sync_data()?;
                }
            }
            Ok(())
        });
        Ok(Self { lines, writer })
    }

    pub(crate) fn pen(&self) -> Pen {
        self.lines.clone()
    }

    /// Waits until every pen is dropped and every line is in the file.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        drop(self.lines);
        self.writer.join().expect("the writer does not panic")
    }
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// Answered 202 with this id.
    Accepted { id: String },
    /// Answered with this status, and not tried again.
    Refused { status: u16 },
    /// Sent once without a key, and not answered.
    Unknown,
    /// Repeated under its key to the end, and never answered.
    Unanswered,
}

/// A line of the producer's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) sequence: u64,
    pub(crate) outcome: Published,
}

impl Publish {
    pub(crate) fn to_line(&self) -> String {
        let sequence = self.sequence;
        match &self.outcome {
            Published::Accepted { id } => format!("accepted\t{sequence}\t{id}"),
            Published::Refused { status } => format!("refused\t{sequence}\t{status}"),
            Published::Unknown => format!("unknown\t{sequence}\t-"),
            Published::Unanswered => format!("unanswered\t{sequence}\t-"),
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        let [word, sequence, rest] = fields(line)?;
        let outcome = match word {
            "accepted" => Published::Accepted { id: rest.into() },
            "refused" => Published::Refused {
                status: rest.parse().ok()?,
            },
            "unknown" => Published::Unknown,
            "unanswered" => Published::Unanswered,
            _ => return None,
        };
        Some(Self {
            sequence: sequence.parse().ok()?,
            outcome,
        })
    }
}

/// A line of the receiver's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) endpoint: usize,
    /// The message's number, from its payload; `None` when the payload is none of ours.
    pub(crate) sequence: Option<u64>,
    /// The header `webhook-id`.
    pub(crate) id: String,
    /// SHA-256 of the body in base64.
    pub(crate) hash: String,
    /// When it had arrived, in nanoseconds since 1970.
    pub(crate) at: u64,
    /// The header `webhook-timestamp`.
    pub(crate) timestamp: String,
    /// The header `webhook-signature`.
    pub(crate) signature: String,
}

impl Delivery {
    pub(crate) fn to_line(&self) -> String {
        let sequence = self
            .sequence
            .map_or_else(|| "-".into(), |number| number.to_string());
        format!(
            "{}\t{sequence}\t{}\t{}\t{}\t{}\t{}",
            self.endpoint, self.id, self.hash, self.at, self.timestamp, self.signature
        )
    }

    fn from_line(line: &str) -> Option<Self> {
        let [endpoint, sequence, id, hash, at, timestamp, signature] = fields(line)?;
        Some(Self {
            endpoint: endpoint.parse().ok()?,
            sequence: sequence.parse().ok(),
            id: id.into(),
            hash: hash.into(),
            at: at.parse().ok()?,
            timestamp: timestamp.into(),
            signature: signature.into(),
        })
    }
}

fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    line.split('\t').collect::<Vec<_>>().try_into().ok()
}

/// Reads a producer's ledger.
pub(crate) fn read_publishes(path: &Path) -> anyhow::Result<Vec<Publish>> {
    read(path, Publish::from_line)
}

/// Reads a receiver's ledger.
pub(crate) fn read_deliveries(path: &Path) -> anyhow::Result<Vec<Delivery>> {
    read(path, Delivery::from_line)
}

fn read<T>(path: &Path, parse: fn(&str) -> Option<T>) -> anyhow::Result<Vec<T>> {
    let parse = |line| parse(line).with_context(|| format!("a line of another shape: {line:?}"));
    read_to_string(path)?.lines().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("producer");
        let publishes = [
            Published::Accepted { id: "msg_1".into() },
            Published::Refused { status: 507 },
            Published::Unknown,
            Published::Unanswered,
        ]
        .map(|outcome| Publish {
            sequence: 9,
            outcome,
        });

        let ledger = Ledger::create(&path, Durability::Synced).unwrap();
        for publish in &publishes {
            ledger.pen().send(publish.to_line()).unwrap();
        }
        ledger.close().unwrap();

        assert_eq!(read_publishes(&path).unwrap(), publishes);
    }

    #[test]
    fn a_delivery_whose_payload_is_foreign_is_read_back_without_a_number() {
        let delivery = Delivery {
            endpoint: 2,
            sequence: None,
            id: "msg_1".into(),
            hash: "00ff".into(),
            at: 1,
            timestamp: "1763".into(),
            signature: "v1,aa v1,bb".into(),
        };

        assert_eq!(Delivery::from_line(&delivery.to_line()), Some(delivery));
    }
}

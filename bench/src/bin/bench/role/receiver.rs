//! The receiver: a hand-written HTTP/1.1 loop (`posthaste_bench::wire`), one thread, and one bit
//! per message and endpoint.
//!
//! The path says how an endpoint behaves: `/e/7` accepts at once, `/fail10/7` refuses every tenth
//! message the first time it comes, `/hang/7` reads and never answers, `/drip/7` answers byte by
//! byte, `/reset/7` breaks the connection.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::thread;

use anyhow::Context as _;
use posthaste_bench::bits::BitSet;
use posthaste_bench::latency::{Latencies, Percentiles};
use posthaste_bench::payload;
use posthaste_bench::time::now_nanos;
use posthaste_bench::wire::{self, Answer, Handler, Request};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Where to listen; port 0 takes a free one. The first line from the parent.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listen {
    pub(crate) port: u16,
    /// As in [`Command::Reset`].
    pub(crate) first_sequence: u64,
}

/// The answer to [`Listen`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
}

/// Each is answered by a [`Report`] of what was before it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Forgets everything; messages numbered below `first_sequence` are strays from now on.
    Reset {
        first_sequence: u64,
    },
    Report,
}

/// What arrived since the last reset.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Deliveries answered 200, repeats included.
    pub(crate) accepted: u64,
    /// Pairs of message and endpoint among them.
    pub(crate) distinct: u64,
    /// Deliveries answered 500, as the path asks.
    pub(crate) refused: u64,
    /// Deliveries of messages of an earlier round.
    pub(crate) strays: u64,
    /// The most requests that hung at once.
    pub(crate) hung_peak: u64,
    /// The most connections that were open at once.
    pub(crate) connections_peak: u64,
    /// When the first new one came, in nanoseconds since 1970.
    pub(crate) first_nanos: u64,
    /// When the last new one came.
    pub(crate) last_nanos: u64,
    /// From the stamp to the first arrival.
    pub(crate) latency: Percentiles,
    /// New arrivals in each tenth of a second after the first.
    pub(crate) per_tenth: Vec<u64>,
}

/// Listens, reports, until the parent is gone.
pub(crate) fn main() -> anyhow::Result<()> {
    let listen: Listen = super::next_command()?.context("nothing said where to listen")?;
    super::run_local(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen.port)).await?;
        super::report(&Listening {
            address: listener.local_addr()?,
        })?;
        let receiver = Rc::new(Receiver::default());
        receiver.obey(Command::Reset {
            first_sequence: listen.first_sequence,
        });
        let (commands, mut waiting) = mpsc::unbounded_channel();
        thread::spawn(move || {
            while let Ok(Some(command)) = super::next_command::<Command>() {
                if commands.send(command).is_err() {
                    return;
                }
            }
        });
        let serving = tokio::task::spawn_local(wire::serve(listener, Rc::clone(&receiver)));
        while let Some(command) = waiting.recv().await {
            super::report(&receiver.obey(command))?;
        }
        serving.abort();
        Ok(())
    })?
}

#[derive(Default)]
struct Receiver(RefCell<Seen>);

#[derive(Default)]
struct Seen {
    first_sequence: u64,
    arrived: Vec<BitSet>,
    refused: Vec<BitSet>,
    hung: u64,
    connections: u64,
    report: Report,
    latency: Latencies,
}

impl Receiver {
    fn obey(&self, command: Command) -> Report {
        let mut seen = self.0.borrow_mut();
        let mut report = seen.report.clone();
        report.latency = seen.latency.percentiles();
        if let Command::Reset { first_sequence } = command {
            // Requests that hang outlive the round, so their number does too.
            let (hung, connections) = (seen.hung, seen.connections);
            *seen = Seen {
                first_sequence,
                hung,
                connections,
                ..Seen::default()
            };
        }
        report
    }
}

impl Handler for Receiver {
    fn handle(&self, request: &Request<'_>) -> Answer {
        let mut seen = self.0.borrow_mut();
        let Some((behaviour, endpoint)) = split(request.path) else {
            return Answer::Now(500);
        };
        let Some(stamp) = payload::read(request.body) else {
            return Answer::Now(500);
        };
        let Some(index) = stamp.sequence.checked_sub(seen.first_sequence) else {
            seen.report.strays += 1;
            return Answer::Now(200);
        };
        match behaviour {
            "hang" | "drip" => {
                seen.hung += 1;
                seen.report.hung_peak = seen.report.hung_peak.max(seen.hung);
                let drips = behaviour == "drip";
                return if drips { Answer::Drip } else { Answer::Never };
            }
            "reset" => return Answer::Reset,
            "fail10" if index % 10 == 0 && insert(&mut seen.refused, endpoint, index) => {
                seen.report.refused += 1;
                return Answer::Now(500);
            }
            _ => {}
        }
        seen.accept(endpoint, index, stamp.sent_nanos);
        Answer::Now(200)
    }

    fn gave_up(&self) {
        self.0.borrow_mut().hung -= 1;
    }

    fn opened(&self) {
        let mut seen = self.0.borrow_mut();
        seen.connections += 1;
        seen.report.connections_peak = seen.report.connections_peak.max(seen.connections);
    }

    fn closed(&self) {
        self.0.borrow_mut().connections -= 1;
    }
}

impl Seen {
    fn accept(&mut self, endpoint: usize, index: u64, sent_nanos: u64) {
        self.report.accepted += 1;
        if !insert(&mut self.arrived, endpoint, index) {
            return;
        }
        let now = now_nanos();
        self.latency.add(sent_nanos, now);
        let report = &mut self.report;
        report.distinct += 1;
        report.last_nanos = now;
        if report.distinct == 1 {
            report.first_nanos = now;
        }
        let tenth = now.saturating_sub(report.first_nanos) / 100_000_000;
        let tenth = usize::try_from(tenth).expect("a run is shorter than 2^64 tenths");
        if tenth >= report.per_tenth.len() {
            report.per_tenth.resize(tenth + 1, 0);
        }
        report.per_tenth[tenth] += 1;
    }
}

fn insert(sets: &mut Vec<BitSet>, endpoint: usize, index: u64) -> bool {
    if endpoint >= sets.len() {
        sets.resize(endpoint + 1, BitSet::default());
    }
    sets[endpoint].insert(index)
}

/// Splits `/behaviour/endpoint`.
fn split(path: &str) -> Option<(&str, usize)> {
    let (behaviour, endpoint) = path.strip_prefix('/')?.split_once('/')?;
    Some((behaviour, endpoint.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use posthaste_bench::payload::{Stamp, Template};

    use super::*;

    fn arrive(receiver: &Receiver, path: &str, sequence: u64) -> Answer {
        let mut body = Vec::new();
        Template::new(64).append(
            Stamp {
                sequence,
                sent_nanos: now_nanos(),
            },
            &mut body,
        );
        receiver.handle(&Request {
            path,
            headers: &[],
            body: &body,
        })
    }

    fn report(receiver: &Receiver) -> Report {
        receiver.obey(Command::Report)
    }

    #[test]
    fn a_repeat_counts_as_accepted_and_not_as_distinct() {
        let receiver = Receiver::default();

        for (path, sequence) in [("/e/0", 1), ("/e/0", 1), ("/e/1", 1), ("/e/0", 2)] {
            arrive(&receiver, path, sequence);
        }

        let report = report(&receiver);
        assert_eq!((report.accepted, report.distinct), (4, 3));
        assert_eq!(report.latency.count, 3);
    }

    #[test]
    fn one_message_in_ten_is_refused_once() {
        let receiver = Receiver::default();

        let answers: Vec<_> = (0..20).map(|n| arrive(&receiver, "/fail10/0", n)).collect();
        let retried = arrive(&receiver, "/fail10/0", 10);

        let refused = answers
            .iter()
            .filter(|answer| **answer == Answer::Now(500))
            .count();
        assert_eq!(refused, 2);
        assert_eq!(retried, Answer::Now(200));
        assert_eq!(report(&receiver).distinct, 19);
    }

    #[test]
    fn what_a_former_round_left_behind_is_a_stray() {
        let receiver = Receiver::default();
        receiver.obey(Command::Reset {
            first_sequence: 100,
        });

        arrive(&receiver, "/e/0", 99);
        arrive(&receiver, "/e/0", 100);

        let report = report(&receiver);
        assert_eq!((report.strays, report.distinct), (1, 1));
    }

    #[test]
    fn requests_that_hang_are_counted_while_they_hang() {
        let receiver = Receiver::default();

        arrive(&receiver, "/hang/0", 1);
        arrive(&receiver, "/hang/0", 2);
        receiver.gave_up();
        arrive(&receiver, "/hang/0", 3);

        assert_eq!(report(&receiver).hung_peak, 2);
        assert_eq!(report(&receiver).distinct, 0);
    }
}

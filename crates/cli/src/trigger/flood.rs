//! `--flood`: many requests at once, and how they went in sum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Trigger;
use crate::exit::Failure;
use crate::{Exit, Outcome, Streams};

/// How many connections are used.
const CONNECTIONS: u32 = 16;

/// How requests went: how many of each status, and how many had no answer.
#[derive(Default)]
struct Tally {
    statuses: BTreeMap<u16, u32>,
    unanswered: u32,
    slowest: Duration,
    /// Why there was no answer, the first time.
    why: Option<String>,
}

impl Trigger {
    /// Ends with 0 if all were answered as they should be, with 8 if only some were.
    pub(super) async fn flood(self, count: u32, streams: &mut Streams<'_>) -> Outcome {
        // Faults of the command line, before anything is sent.
        self.make()?;
        let spoiled = self.args.spoil().is_some();
        let wants_json = self.args.wants_json();
        let (trigger, left) = (Arc::new(self), Arc::new(AtomicU32::new(count)));
        let began = Instant::now();
        let mut connections = JoinSet::new();
        for _ in 0..count.min(CONNECTIONS) {
            let (trigger, left) = (Arc::clone(&trigger), Arc::clone(&left));
            connections.spawn(async move { trigger.some_of(&left).await });
        }
        let mut tally = Tally::default();
        while let Some(part) = connections.join_next().await {
            let part = part.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
            tally.add(part);
        }
        let took = began.elapsed();
        if wants_json {
            writeln!(streams.out, "{}", tally.as_json(took))?;
        } else {
            tally.tell(count, took, streams)?;
        }
        Ok(tally.exit(count, spoiled))
    }

    /// Sends what is left, one after the other, over one connection.
    async fn some_of(&self, left: &AtomicU32) -> Tally {
        let mut tally = Tally::default();
        let mut connection = None;
        while take_one(left) {
            let sender = match &mut connection {
                Some(sender) => sender,
                None => match self.target.connect().await {
                    Ok(sender) => connection.insert(sender),
                    Err(failure) => {
                        tally.unanswered(failure.message());
                        continue;
                    }
                },
            };
            let answer = match self.make() {
                Ok(ready) => self.target.send_over(sender, &ready).await,
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(answer) => {
                    *tally.statuses.entry(answer.status.as_u16()).or_default() += 1;
                    tally.slowest = tally.slowest.max(answer.took);
                    let closes = answer.header("connection") == Some("close");
                    if closes || sender.is_closed() || sender.ready().await.is_err() {
                        connection = None;
                    }
                }
                Err(failure) => {
                    tally.unanswered(failure.message());
                    connection = None;
                }
            }
        }
        tally
    }
}

fn take_one(left: &AtomicU32) -> bool {
    let one_less = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        .is_ok()
}

impl Tally {
    fn unanswered(&mut self, why: &str) {
        self.unanswered += 1;
        self.why.get_or_insert_with(|| why.to_owned());
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.unanswered += other.unanswered;
        self.slowest = self.slowest.max(other.slowest);
        self.why = self.why.take().or(other.why);
    }

    fn exit(&self, count: u32, spoiled: bool) -> Exit {
        let expected = if spoiled { 400..500 } else { 200..300 };
        let good = |status: &u16| expected.contains(status);
        let statuses = self.statuses.iter();
        let good: u32 = statuses
            .filter(|(status, _)| good(status))
            .map(|(_, n)| n)
            .sum();
        match good {
            _ if good == count => Exit::Ok,
            0 if self.unanswered == count => Exit::Unavailable,
            0 => Exit::Failure,
            _ => Exit::Partial,
        }
    }

    fn as_json(&self, took: Duration) -> serde_json::Value {
        serde_json::json!({
            "statuses": self.statuses,
            "unanswered": self.unanswered,
            "slowestMs": u64::try_from(self.slowest.as_millis()).unwrap_or(u64::MAX),
            "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn tell(&self, count: u32, took: Duration, streams: &mut Streams<'_>) -> Result<(), Failure> {
        for (status, count) in &self.statuses {
            writeln!(streams.out, "{status}  {count}")?;
        }
        if let Some(why) = &self.why {
            writeln!(streams.out, "---  {}  {why}", self.unanswered)?;
        }
        let seconds = took.as_secs_f64().max(0.001);
        let rate = f64::from(count) / seconds;
        let slowest = self.slowest.as_millis();
        writeln!(
            streams.err,
            "{count} requests in {seconds:.2} s, {rate:.0} a second; the slowest took {slowest} ms"
        )?;
        Ok(())
    }
}

//! Publishes at a steady rate, whatever happens to the server, and notes what it was answered.
//!
//! A publish with an idempotency key is repeated until it is answered, so it must end accepted,
//! once. A publish without one is sent once: if its answer is lost, its fate is unknown. An answer
//! of 5xx or 429 is an answer: nothing was accepted, and it is tried again if it has a key.
//!
//! One message in four comes in at a source instead, as [`crate::provider`] says.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use posthaste_bench::client::{Connection, IDEMPOTENCY_KEY, Reply};
use posthaste_bench::server::ADMIN_KEY;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::ledger::{Pen, Publish, Published};
use crate::message::Messages;
use crate::provider::{Call, Provider, Taken};
use crate::tracker::Tracker;

/// Connections that publish at once.
const CONNECTIONS: usize = 32;
/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries of one publish.
const PAUSE: Duration = Duration::from_millis(10);
/// How long publishes are repeated after the producer was told to stop.
const LAST_TRIES: Duration = Duration::from_secs(20);

/// What to publish, and where to note it.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) address: SocketAddr,
    pub(crate) application: String,
    /// The path of the source.
    pub(crate) source: String,
    pub(crate) messages: Messages,
    pub(crate) per_second: u32,
    /// Messages that may wait for a free connection; what is due beyond is left out.
    pub(crate) waiting_max: usize,
    pub(crate) pen: Pen,
    pub(crate) tracker: Arc<Tracker>,
}

/// A producer at work.
#[derive(Debug)]
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Stops making new messages, and waits until those that were begun are answered.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer does not panic")
    }
}

impl Producer {
    pub(crate) fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            LocalSet::new().block_on(&runtime, self.run(stopping))
        });
        Running { stop, thread }
    }

    async fn run(self, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
        let (turns, waiting) = mpsc::channel(self.waiting_max);
        let waiting = Rc::new(Mutex::new(waiting));
        let mut interval = tokio::time::interval(Duration::from_secs(1) / self.per_second);
        let desk = Rc::new(Desk {
            provider: Provider::new(self.source.clone(), self.messages),
            producer: self,
            give_up: Cell::new(None),
        });
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::task::spawn_local(work(Rc::clone(&desk), Rc::clone(&waiting))))
            .collect();
        let mut sequence = 0;
        while !stop.load(Ordering::Relaxed) {
            interval.tick().await;
            if turns.try_send(sequence).is_ok() {
                sequence += 1;
            }
        }
        drop(turns);
        desk.give_up.set(Some(Instant::now() + LAST_TRIES));
        for worker in workers {
            worker.await??;
        }
        Ok(())
    }
}

/// What the workers share.
struct Desk {
    producer: Producer,
    provider: Provider,
    /// When what is still unanswered stays so; set once the producer stops.
    give_up: Cell<Option<Instant>>,
}

/// Publishes one message after the other over one connection at a time.
async fn work(desk: Rc<Desk>, waiting: Rc<Mutex<mpsc::Receiver<u64>>>) -> anyhow::Result<()> {
    let mut connection = None;
    loop {
        // In a statement of its own, so that the lock is free while this worker publishes.
        let next = waiting.lock().await.recv().await;
        let Some(sequence) = next else { return Ok(()) };
        let outcome = desk.publish(sequence, &mut connection).await?;
        if let Published::Accepted { id } = &outcome {
            desk.producer.tracker.accepted(sequence);
            desk.provider.accepted(sequence, id);
        }
        desk.producer
            .pen
            .send(Publish { sequence, outcome }.to_line())?;
        if let Some(earlier) = desk.provider.repeats_after(sequence) {
            desk.repeat(&earlier, &mut connection).await?;
        }
    }
}

impl Desk {
    async fn publish(
        &self,
        sequence: u64,
        connection: &mut Option<Connection>,
    ) -> anyhow::Result<Published> {
        let has_key = self.producer.messages.key(sequence).is_some();
        while self.is_patient() {
            let Some(open) = self.connected(connection).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let call = self.call(sequence)?;
            let answer = timeout(PATIENCE, open.post(&call.path, call.headers, call.body)).await;
            let Ok(Ok(reply)) = answer else {
                *connection = None;
                if !has_key {
                    return Ok(Published::Unknown);
                }
                continue;
            };
            let outcome = self.judge(&reply)?;
            let again = matches!(outcome, Published::Refused { status } if is_passing(status));
            if !again || !has_key {
                return Ok(outcome);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Published::Unanswered)
    }

    /// Sends a webhook again that was answered before, until it is answered again.
    async fn repeat(
        &self,
        earlier: &Taken,
        connection: &mut Option<Connection>,
    ) -> anyhow::Result<()> {
        while self.is_patient() {
            if let Some(open) = self.connected(connection).await {
                let call = self.provider.call(earlier.sequence);
                let answer =
                    timeout(PATIENCE, open.post(&call.path, call.headers, call.body)).await;
                match answer {
                    Ok(Ok(reply)) if is_passing(reply.status.as_u16()) => {}
                    Ok(Ok(reply)) => {
                        let objection = earlier.objection(&reply);
                        self.producer.tracker.received_again(objection);
                        return Ok(());
                    }
                    _ => *connection = None,
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn is_patient(&self) -> bool {
        self.give_up.get().is_none_or(|end| Instant::now() < end)
    }

    fn call(&self, sequence: u64) -> anyhow::Result<Call> {
        if Messages::is_received(sequence) {
            return Ok(self.provider.call(sequence));
        }
        let Producer {
            messages,
            application,
            ..
        } = &self.producer;
        let key = messages.key(sequence);
        let header = key.map(|key| Ok((IDEMPOTENCY_KEY, HeaderValue::from_str(&key)?)));
        Ok(Call {
            path: format!("/api/v1/app/{application}/msg?with_content=false"),
            headers: header.into_iter().collect::<anyhow::Result<_>>()?,
            body: messages.publish(sequence).into(),
        })
    }

    /// Returns the open connection, or a new one; `None` while there is no server.
    async fn connected<'a>(
        &self,
        connection: &'a mut Option<Connection>,
    ) -> Option<&'a mut Connection> {
        // One that died while it was idle says nothing about the publish it would have carried.
        if connection.as_ref().is_none_or(Connection::is_closed) {
            *connection = Connection::open(self.producer.address, ADMIN_KEY)
                .await
                .ok();
        }
        connection.as_mut()
    }

    fn judge(&self, reply: &Reply) -> anyhow::Result<Published> {
        if reply.status == StatusCode::INSUFFICIENT_STORAGE {
            self.producer
                .tracker
                .full(reply.headers.contains_key(RETRY_AFTER));
        }
        // An API answers 202, a source 200.
        if !matches!(reply.status, StatusCode::ACCEPTED | StatusCode::OK) {
            return Ok(Published::Refused {
                status: reply.status.as_u16(),
            });
        }
        let body: Value = serde_json::from_slice(&reply.body)?;
        let id = body["id"].as_str().context("a success without an id")?;
        Ok(Published::Accepted { id: id.into() })
    }
}

/// Says whether a status asks to try again.
fn is_passing(status: u16) -> bool {
    status >= 500 || status == 429
}

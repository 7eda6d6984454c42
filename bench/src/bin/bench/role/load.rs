//! The publisher: a closed loop over N connections, or an open loop at a fixed rate.
//!
//! In the open loop a message has a time at which it should be sent, and its latency counts from
//! then, whether or not a connection was free: a server that stalls for a second is charged that
//! second by every message due in it (no coordinated omission).

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use posthaste_bench::client::{Connection, Reply};
use posthaste_bench::latency::{Latencies, Percentiles};
use posthaste_bench::payload::{Stamp, Template};
use posthaste_bench::time::now_nanos;
use posthaste_bench::usage;
use posthaste_bench::webhook::Signer;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

/// Not the secret of any source.
const FORGED: [u8; 32] = *b"other-other-other-other-other-32";
/// An inbound URL that nobody has.
const NOWHERE: &str = "/in/0123456789abcdefghijklmnopqrstuvwxyz";

/// How long a publisher waits before it connects again after a connection broke.
const RECONNECT: Duration = Duration::from_millis(10);

/// What to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) address: SocketAddr,
    pub(crate) application: String,
    pub(crate) token: String,
    pub(crate) pace: Pace,
    pub(crate) connections: usize,
    pub(crate) stop: Stop,
    /// Messages per request; 1 uses the single publish.
    pub(crate) batch: u64,
    pub(crate) payload_bytes: usize,
    /// Used in turns.
    pub(crate) event_types: Vec<String>,
    /// The number of the first message.
    pub(crate) first_sequence: u64,
    pub(crate) what: What,
}

/// What is posted, and where to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// Messages, to the API.
    Publish,
    /// What a provider sends, to the path of a source.
    Webhook { path: String, signature: Signature },
    /// The same, to an inbound URL that nobody has.
    Nowhere,
}

/// Who has signed a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Signature {
    Providers,
    Forgers,
}

/// The secret of every source.
pub(crate) const SECRET: [u8; 32] = *b"bench-bench-bench-bench-bench-32";

/// When the next request is sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// As soon as the connection's last one is answered.
    Closed,
    /// This many per second, whatever the answers.
    Open { per_second: u32 },
}

/// When to stop.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Stop {
    After { seconds: f64 },
    At { messages: u64 },
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Messages that were answered as wanted: 202, or of a webhook what is right for it.
    pub(crate) accepted: u64,
    /// Messages answered otherwise, or not at all.
    pub(crate) failed: u64,
    /// The first other answer, or the first error.
    pub(crate) complaint: Option<String>,
    /// When the first request was sent, in nanoseconds since 1970.
    pub(crate) started_nanos: u64,
    /// When the last answer was read.
    pub(crate) ended_nanos: u64,
    pub(crate) latency: Percentiles,
    pub(crate) cpu_seconds: f64,
}

/// Takes one job from the parent, does it, reports.
pub(crate) fn main() -> anyhow::Result<()> {
    let job: Job = super::next_command()?.context("no job")?;
    let report = super::run_local(run(job))??;
    super::report(&report)
}

async fn run(job: Job) -> anyhow::Result<Report> {
    let mut connections = Vec::new();
    for _ in 0..job.connections {
        connections.push(Connection::open(job.address, &job.token).await?);
    }
    let started_nanos = now_nanos();
    let load = Rc::new(Load::new(job, started_nanos));
    let turns = Rc::new(load.turns());
    let workers: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            tokio::task::spawn_local(work(Rc::clone(&load), Rc::clone(&turns), connection))
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    let tally = load.tally.borrow();
    Ok(Report {
        accepted: tally.accepted,
        failed: tally.failed,
        complaint: tally.complaint.clone(),
        started_nanos,
        ended_nanos: now_nanos(),
        latency: tally.latency.percentiles(),
        cpu_seconds: usage::cpu_seconds(std::process::id())?,
    })
}

struct Load {
    job: Job,
    path: String,
    /// What accepting it is answered.
    wanted: StatusCode,
    signer: Option<Signer>,
    template: Template,
    started_nanos: u64,
    tally: RefCell<Tally>,
}

#[derive(Default)]
struct Tally {
    sent: u64,
    accepted: u64,
    failed: u64,
    complaint: Option<String>,
    latency: Latencies,
}

/// Where the time to send the next request comes from.
enum Turns {
    Now,
    Paced(Mutex<mpsc::UnboundedReceiver<u64>>),
}

impl Load {
    fn new(job: Job, started_nanos: u64) -> Self {
        // A publisher does not want its payload back.
        let kind = if job.batch == 1 {
            "msg?with_content=false"
        } else {
            "msg/batch"
        };
        let (path, wanted) = match &job.what {
            What::Publish => {
                let path = format!("/api/v1/app/{}/{kind}", job.application);
                (path, StatusCode::ACCEPTED)
            }
            What::Webhook { path, signature } => {
                let genuine = *signature == Signature::Providers;
                let refused = StatusCode::UNAUTHORIZED;
                (path.clone(), if genuine { StatusCode::OK } else { refused })
            }
            What::Nowhere => (NOWHERE.to_owned(), StatusCode::NOT_FOUND),
        };
        let secret = match &job.what {
            What::Publish => None,
            What::Webhook { signature, .. } if *signature == Signature::Forgers => Some(FORGED),
            _ => Some(SECRET),
        };
        Self {
            path,
            wanted,
            signer: secret.map(|secret| Signer::new(&secret)),
            template: Template::new(job.payload_bytes),
            job,
            started_nanos,
            tally: RefCell::default(),
        }
    }

    fn turns(&self) -> Turns {
        let Pace::Open { per_second } = self.job.pace else {
            return Turns::Now;
        };
        let (turns, waiting) = mpsc::unbounded_channel();
        let (started, stop) = (self.started_nanos, self.job.stop);
        // A thread of its own: the runtime's timers are no finer than a millisecond.
        thread::spawn(move || {
            for turn in 0.. {
                let after = turn * 1_000_000_000 / u64::from(per_second);
                if stop.is_due(turn, after) {
                    return;
                }
                let due = started + after;
                thread::sleep(Duration::from_nanos(due.saturating_sub(now_nanos())));
                if turns.send(due).is_err() {
                    return;
                }
            }
        });
        Turns::Paced(Mutex::new(waiting))
    }

    /// Returns the number of the next request's first message, or `None` at the end.
    fn next_sequence(&self) -> Option<u64> {
        let mut tally = self.tally.borrow_mut();
        let paced = matches!(self.job.pace, Pace::Open { .. });
        if !paced
            && self
                .job
                .stop
                .is_due(tally.sent, now_nanos() - self.started_nanos)
        {
            return None;
        }
        let sequence = self.job.first_sequence + tally.sent;
        tally.sent += self.job.batch;
        Some(sequence)
    }

    fn headers(&self, sequence: u64, body: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
        let signer = self.signer.as_ref();
        let headers = signer.map(|signer| signer.headers(&format!("bench-{sequence}"), body));
        headers.into_iter().flatten().collect()
    }

    fn body(&self, first: u64, sent_nanos: u64) -> Bytes {
        if self.signer.is_some() {
            let mut body = Vec::with_capacity(self.job.payload_bytes);
            let sequence = first;
            self.template.append(
                Stamp {
                    sequence,
                    sent_nanos,
                },
                &mut body,
            );
            return body.into();
        }
        let (batch, types) = (self.job.batch, &self.job.event_types);
        let room = (self.job.payload_bytes + 80) * usize::try_from(batch).expect("it is small");
        let mut body = Vec::with_capacity(room);
        body.extend_from_slice(if batch == 1 { b"" } else { br#"{"messages":["# });
        for sequence in first..first + batch {
            body.extend_from_slice(if sequence == first { b"" } else { b"," });
            let turn = usize::try_from(sequence % types.len() as u64).expect("an index");
            body.extend_from_slice(br#"{"eventType":""#);
            body.extend_from_slice(types[turn].as_bytes());
            body.extend_from_slice(br#"","payload":"#);
            self.template.append(
                Stamp {
                    sequence,
                    sent_nanos,
                },
                &mut body,
            );
            body.push(b'}');
        }
        body.extend_from_slice(if batch == 1 { b"" } else { b"]}" });
        body.into()
    }

    fn settle(&self, due: u64, answer: &anyhow::Result<Reply>) {
        let mut tally = self.tally.borrow_mut();
        let complaint = match answer {
            Ok(reply) if reply.status == self.wanted => {
                tally.accepted += self.job.batch;
                tally.latency.add(due, now_nanos());
                return;
            }
            Ok(reply) => format!("{}: {}", reply.status, String::from_utf8_lossy(&reply.body)),
            Err(error) => format!("{error:#}"),
        };
        tally.failed += self.job.batch;
        tally.complaint.get_or_insert(complaint);
    }
}

impl Stop {
    fn is_due(self, sent: u64, elapsed_nanos: u64) -> bool {
        match self {
            Self::After { seconds } => {
                Duration::from_nanos(elapsed_nanos) >= Duration::from_secs_f64(seconds)
            }
            Self::At { messages } => sent >= messages,
        }
    }
}

impl Turns {
    async fn next(&self) -> Option<u64> {
        match self {
            Self::Now => Some(now_nanos()),
            Self::Paced(turns) => turns.lock().await.recv().await,
        }
    }
}

async fn work(load: Rc<Load>, turns: Rc<Turns>, mut connection: Connection) -> anyhow::Result<()> {
    while let Some(due) = turns.next().await {
        let Some(sequence) = load.next_sequence() else {
            break;
        };
        let body = load.body(sequence, due);
        let headers = load.headers(sequence, &body);
        let answer = connection.post(&load.path, headers, body).await;
        load.settle(due, &answer);
        if answer.is_err() {
            connection = reopen(&load.job).await?;
        }
    }
    Ok(())
}

/// Connects again, for as long as a server takes to come back.
async fn reopen(job: &Job) -> anyhow::Result<Connection> {
    let since = Instant::now();
    loop {
        match Connection::open(job.address, &job.token).await {
            Err(_) if since.elapsed() < Duration::from_secs(10) => {
                tokio::time::sleep(RECONNECT).await;
            }
            outcome => return outcome,
        }
    }
}

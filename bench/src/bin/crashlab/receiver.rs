//! Notes every delivery, works for a moment, accepts.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use posthaste_bench::payload;
use posthaste_bench::time::now_nanos;
use posthaste_bench::wire::{self, Answer, Handler, Request};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use crate::ledger::{Delivery, Pen};
use crate::message::hash;
use crate::tracker::Tracker;

struct Receiver {
    pen: Pen,
    tracker: Arc<Tracker>,
    latency: Duration,
}

/// Starts the receiver on a thread of its own, for as long as `stop` is not fired or dropped;
/// returns its address.
pub(crate) fn start(
    pen: Pen,
    tracker: Arc<Tracker>,
    latency: Duration,
    stop: tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<SocketAddr> {
    let (address, waiting) = mpsc::channel();
    thread::spawn(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            address.send(listener.local_addr()?)?;
            let receiver = Rc::new(Receiver {
                pen,
                tracker,
                latency,
            });
            tokio::select! {
                biased;
                _ = stop => Ok(()),
                outcome = wire::serve(listener, receiver) => Ok(outcome?),
            }
        })
    });
    waiting.recv().context("the receiver cannot listen")
}

impl Handler for Receiver {
    fn handle(&self, request: &Request<'_>) -> Answer {
        let Some(endpoint) = request
            .path
            .strip_prefix("/e/")
            .and_then(|n| n.parse().ok())
        else {
            return Answer::Now(500);
        };
        let delivery = Delivery {
            endpoint,
            sequence: payload::read(request.body).map(|stamp| stamp.sequence),
            id: request.header("webhook-id").into(),
            hash: hash(request.body),
            at: now_nanos(),
            timestamp: request.header("webhook-timestamp").into(),
            signature: request.header("webhook-signature").into(),
        };
        if let Some(sequence) = delivery.sequence {
            self.tracker.arrived(sequence, endpoint);
        }
        // The ledger outlives the receiver; were it gone, nothing would be counted anyway.
        drop(self.pen.send(delivery.to_line()));
        Answer::After(self.latency)
    }
}

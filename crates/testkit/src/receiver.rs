//! Where messages are delivered to: a sink that keeps what it received, or one that is away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cli::sink::{Received, RunningSink, Sink, SinkOptions, Tally};
use socket2::{Domain, Socket, Type};

use crate::wait::eventually;

/// A receiver that behaves as its paths say (`/status/503`, `/fail/2`, `/hang` …) and keeps
/// everything.
pub struct Receiver {
    sink: RunningSink,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Starts one on a free port that answers 200.
    pub async fn start() -> Self {
        Self::with(SinkOptions::default()).await
    }

    /// Starts one as the options say.
    pub async fn with(options: SinkOptions) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        let keep = move |request: &Received| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(request.clone());
        };
        let sink = Sink::start(options, keep)
            .await
            .expect("it listens on loopback");
        Self { sink, received }
    }

    /// The URL that leads to `path` here.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sink.url())
    }

    /// The counts over everything so far.
    pub fn tally(&self) -> Tally {
        self.sink.tally()
    }

    /// Everything so far, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        let received = self.received.lock();
        received.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What arrived at one path, in order.
    pub fn at(&self, path: &str) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|request| request.uri.path() == path);
        received
    }

    /// Waits until this many requests have arrived at a path, and returns them.
    pub async fn wait_for(&self, path: &str, count: usize, limit: Duration) -> Vec<Received> {
        let what = format!("{count} requests at {path}");
        eventually(&what, limit, async || self.at(path).len() >= count).await;
        self.at(path)
    }
}

/// The address of a receiver that is down: connections to it are refused until it comes back.
pub struct Absent {
    address: SocketAddr,
    /// Bound and not listening, so that nobody else is given the port.
    _reserved: Socket,
}

impl Absent {
    /// Reserves a port on loopback.
    pub fn reserve() -> Self {
        let reserve = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            // Without it the sink could not listen there later.
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
            let address = socket.local_addr()?.as_socket();
            Ok::<_, std::io::Error>(Self {
                address: address.expect("it was bound to one"),
                _reserved: socket,
            })
        };
        reserve().expect("loopback has a free port")
    }

    /// The URL that leads to `path` there.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Starts a sink there; `on_request` hears of each request and must not block.
    pub async fn come_back(
        &self,
        on_request: impl Fn(&Received) + Send + Sync + 'static,
    ) -> RunningSink {
        let options = SinkOptions {
            listen: self.address,
            ..SinkOptions::default()
        };
        let sink = Sink::start(options, on_request).await;
        sink.expect("the port is reserved for it")
    }
}

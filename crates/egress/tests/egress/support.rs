//! A scripted receiver, a table of names, and a client that is short of patience.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{AddressPolicy, Phases, TargetUrl};
use env::{Connection, Egress, EgressError, OutboundRequest, OutboundResponse, ResponseLimits};
use http::{HeaderMap, Method};
use posthaste_egress::{Client, Config, Resolve, ResolveError, SharedPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Long enough for anything on loopback that works.
pub(crate) const AMPLE: Duration = Duration::from_secs(10);

/// Short enough for tests of what never comes.
pub(crate) const BRIEF: Duration = Duration::from_millis(200);

/// Later than anything that ends after `BRIEF`, on a busy machine too.
pub(crate) const LATE: Duration = Duration::from_secs(2);

/// A listener that runs a script on each connection.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Receiver {
    /// Runs the script on each connection, on some port of 127.0.0.1.
    pub(crate) async fn start<F, Script>(script: F) -> Self
    where
        F: Fn(Peer) -> Script + Send + 'static,
        Script: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::run(listener, script)
    }

    fn run<F, Script>(listener: TcpListener, script: F) -> Self
    where
        F: Fn(Peer) -> Script + Send + 'static,
        Script: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(Peer { stream }));
            }
        });
        Self { address, accepted }
    }

    /// Answers each request with the same bytes, for as long as the connection lives.
    pub(crate) async fn answering(answer: &'static [u8]) -> Self {
        Self::start_at("127.0.0.1:0", answer).await
    }

    /// Answers each request with the same bytes, at this address.
    pub(crate) async fn start_at(address: &str, answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self::run(listener, move |mut peer| async move {
            while peer.request().await.is_some() {
                peer.write(answer).await;
            }
        })
    }

    /// Starts another receiver at the same port of another address.
    pub(crate) async fn twin(&self, ip: &str) -> Self {
        Self::start_at(&format!("{ip}:{}", self.address.port()), OK).await
    }

    /// Answers one request with these bytes, and then holds the connection open.
    pub(crate) async fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                peer.request().await;
                peer.write(&answer).await;
                peer.hold().await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> Arc<TargetUrl> {
        url(&format!("http://{}/hook", self.address))
    }

    pub(crate) fn named(&self, name: &str) -> Arc<TargetUrl> {
        url(&format!("http://{name}:{}/hook", self.address.port()))
    }

    pub(crate) fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// The receiver's end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    /// Reads one whole request; `None` when the client has closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(bytes).unwrap();
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |len| len.parse().unwrap());
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(head + &String::from_utf8(body).unwrap())
    }

    /// Writes what the client still takes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Keeps the connection open until the client closes it.
    pub(crate) async fn hold(mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
    }

    /// Closes without a farewell: the client's next read or write is an error.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// Names with the answers that are given in turn; the last one is repeated.
#[derive(Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>);

impl Names {
    pub(crate) fn with(name: &str, answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect())
            .collect();
        Arc::new(Self(Mutex::new(BTreeMap::from([(
            name.to_owned(),
            answers,
        )]))))
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(name).ok_or(ResolveError::NotFound)?;
        if answers.len() > 1 {
            return Ok(answers.pop_front().unwrap());
        }
        Ok(answers[0].clone())
    }
}

pub(crate) fn url(text: &str) -> Arc<TargetUrl> {
    Arc::new(TargetUrl::parse(text).unwrap())
}

/// Allows what is on loopback, and nothing else that is not public.
pub(crate) fn loopback_only() -> AddressPolicy {
    AddressPolicy {
        allow: vec!["127.0.0.1".parse().unwrap()],
        allow_http: true,
        ..AddressPolicy::default()
    }
}

pub(crate) fn config() -> Config {
    Config::new(
        SharedPolicy::new(loopback_only()),
        Arc::new(Names::default()),
    )
}

pub(crate) fn client() -> Client {
    Client::new(config()).unwrap()
}

pub(crate) fn client_with(names: Arc<Names>) -> Client {
    let resolver = names;
    Client::new(Config {
        resolver,
        ..config()
    })
    .unwrap()
}

pub(crate) fn request(target: &Arc<TargetUrl>, body: impl Into<Vec<u8>>) -> OutboundRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    OutboundRequest {
        method: Method::POST,
        target: Arc::clone(target),
        headers,
        body: body.into().into(),
    }
}

pub(crate) async fn connect(
    client: &Client,
    target: &Arc<TargetUrl>,
) -> Result<Box<dyn Connection>, EgressError> {
    let mut phases = Phases::default();
    client
        .connect(target, Instant::now() + AMPLE, &mut phases)
        .await
}

pub(crate) async fn send(
    connection: &mut Box<dyn Connection>,
    target: &Arc<TargetUrl>,
) -> Result<OutboundResponse, EgressError> {
    send_within(connection, target, "{}", AMPLE).await
}

pub(crate) async fn send_within(
    connection: &mut Box<dyn Connection>,
    target: &Arc<TargetUrl>,
    body: impl Into<Vec<u8>>,
    patience: Duration,
) -> Result<OutboundResponse, EgressError> {
    let request = request(target, body);
    let deadline = Instant::now() + patience;
    let limits = ResponseLimits::default();
    connection
        .send(request, limits, deadline, &mut Phases::default())
        .await
}

/// Connects and sends one request.
pub(crate) async fn post(
    client: &Client,
    target: &Arc<TargetUrl>,
) -> Result<OutboundResponse, EgressError> {
    let mut connection = connect(client, target).await?;
    send(&mut connection, target).await
}

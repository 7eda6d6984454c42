//! A request on its way, and what came back.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use inbound::samples::Ready;
use tokio::time::Instant;

use crate::client::Server;
use crate::exit::Failure;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are kept.
const ANSWER_MAX: usize = 64 << 10;

/// Where requests are sent to.
#[derive(Debug)]
pub(crate) struct Target {
    server: Server,
    path: String,
    place: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(super) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(super) took: Duration,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(found, _)| found == name)?;
        Some(value)
    }
}

impl Target {
    pub(crate) fn parse(text: &str, insecure: bool) -> Result<Self, Failure> {
        let (server, path) = Server::and_path(text)?;
        // Whoever reads the token of a source can send to it: it stands on no screen.
        let hidden = path.strip_prefix("/in/").map(|_| "/in/…");
        let place = format!("{}{}", server.authority(), hidden.unwrap_or(&path));
        Ok(Self {
            server: server.trusting_anybody(insecure),
            path,
            place,
        })
    }

    /// The URL without what is secret of it.
    pub(crate) fn shown(&self) -> &str {
        &self.place
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        self.server.connect().await
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn send(&self, ready: &Ready) -> Result<Answer, Failure> {
        let mut sender = self.connect().await?;
        self.send_over(&mut sender, ready).await
    }

    /// Sends one request over an open connection.
    pub(super) async fn send_over(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        ready: &Ready,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let mut request = Request::builder()
            .method(ready.method)
            .uri(&self.path)
            .header(HOST, self.server.authority());
        for (name, value) in &ready.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(&ready.body)))
            .map_err(|error| Failure::usage(format!("cannot be sent: {error}")))?;
        let broken = |error: hyper::Error| Failure::unavailable(format!("no answer: {error}"));
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let headers = response.headers().iter();
            let text =
                |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = headers.map(|(name, value)| (name.to_string(), text(value)));
            let headers = headers.collect();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect();
            let body = body.await.map(|body| body.to_bytes().to_vec());
            Ok(Answer {
                status,
                headers,
                // A longer one is none of ours, and nobody wants to read it.
                body: body.unwrap_or_default(),
                took: began.elapsed(),
            })
        };
        let late = |_| Failure::unavailable(format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(late)?
    }
}

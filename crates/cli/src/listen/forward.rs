//! One message to the local receiver.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use domain::Timestamp;
use http::Request;
use http::header::{HOST, USER_AGENT};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::client::Server;
use crate::exit::Failure;
use crate::text::shown;

/// For one delivery.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are read; nothing is done with them.
const ANSWER_MAX: usize = 1 << 20;

/// A message as the stream carries it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) body: Option<String>,
    headers: BTreeMap<String, String>,
}

/// Where messages are forwarded to.
pub(super) struct Target {
    server: Server,
    path: String,
}

/// How a delivery went.
pub(super) struct Delivered {
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
}

impl Target {
    /// Parses a URL, or a port of this machine.
    pub(super) fn parse(text: &str, insecure: bool) -> Result<Self, Failure> {
        let (server, path) = Server::and_path(text)?;
        Ok(Self {
            server: server.trusting_anybody(insecure),
            path,
        })
    }

    /// Delivers a message once.
    pub(super) async fn deliver(&self, message: &Message, now: Timestamp) -> Delivered {
        let began = Instant::now();
        let sent = tokio::time::timeout(PATIENCE, self.send(message)).await;
        let (status, error) = match sent {
            Ok(Ok(status)) => (Some(status), None),
            Ok(Err(failure)) => (None, Some(failure.message().to_owned())),
            Err(_) => (None, Some("no answer within 30 s".to_owned())),
        };
        Delivered {
            at: now,
            took: began.elapsed(),
            status,
            error,
        }
    }

    async fn send(&self, message: &Message) -> Result<u16, Failure> {
        let body = message.body.clone();
        let body = body.ok_or_else(|| Failure::unavailable("its payload was erased"))?;
        let mut request = Request::post(&self.path)
            .header(HOST, self.server.authority())
            .header(
                USER_AGENT,
                concat!("posthaste-cli/", env!("CARGO_PKG_VERSION")),
            );
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::unavailable(error.to_string()))?;
        let mut sender = self.server.connect().await?;
        let broken = |error: hyper::Error| Failure::unavailable(error.to_string());
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        // Read to its end, so that the receiver does not see us hang up on it.
        let body = Limited::new(response.into_body(), ANSWER_MAX);
        let _ = body.collect().await;
        Ok(status)
    }
}

impl Delivered {
    pub(super) fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    /// A line for a person: time, answer, duration, id, type.
    pub(super) fn readable(&self, message: &Message) -> String {
        let time = self.at.to_string();
        let time = time.get(11..23).unwrap_or(&time);
        let status = self
            .status
            .map_or("---".to_owned(), |status| status.to_string());
        let error = self.error.as_ref();
        let error = error.map_or_else(String::new, |error| format!("  {}", shown(error, 100)));
        format!(
            "{time}  {status}  {:>5} ms  {}  {}{error}",
            self.took.as_millis(),
            shown(&message.id, 40),
            shown(&message.event_type, 60),
        )
    }

    /// A line of JSON.
    pub(super) fn json(&self, message: &Message) -> String {
        json!({
            "at": self.at.to_string(),
            "id": message.id,
            "eventType": message.event_type,
            "status": self.status,
            "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "error": self.error,
        })
        .to_string()
    }
}

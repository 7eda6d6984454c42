//! One delivery to the local receiver.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Timestamp;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::parcel::{Body, Parcel};
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
    body: Option<String>,
    headers: BTreeMap<String, String>,
}

impl Message {
    pub(super) fn into_parcel(self, now: Timestamp) -> Parcel {
        let body = self.body.map_or_else(Body::erased, Body::Text);
        Parcel {
            id: self.id,
            at: now.to_string(),
            event_type: Some(self.event_type),
            method: Method::POST.to_string(),
            path: String::new(),
            headers: self.headers.into_iter().collect(),
            body,
        }
    }
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

    /// Delivers once.
    pub(super) async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Delivered {
        let began = Instant::now();
        let sent = tokio::time::timeout(PATIENCE, self.send(parcel)).await;
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

    async fn send(&self, parcel: &Parcel) -> Result<u16, Failure> {
        let request = self.request(parcel)?;
        let mut sender = self.server.connect().await?;
        let broken = |error: hyper::Error| Failure::unavailable(error.to_string());
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        // Read to its end, so that the receiver does not see us hang up on it.
        let body = Limited::new(response.into_body(), ANSWER_MAX);
        let _ = body.collect().await;
        Ok(status)
    }

    fn request(&self, parcel: &Parcel) -> Result<Request<Full<bytes::Bytes>>, Failure> {
        let body = parcel.body.bytes()?;
        let mut request = Request::builder()
            .method(parcel.method.as_str())
            .uri(joined(&self.path, &parcel.path))
            .body(Full::new(body))
            .map_err(|error| Failure::unavailable(error.to_string()))?;
        let headers = request.headers_mut();
        for (name, value) in &parcel.headers {
            let wrong = || Failure::unavailable(format!("the header {name} cannot be sent"));
            let name = HeaderName::try_from(name).map_err(|_| wrong())?;
            // What frames the request is ours to write, whatever a file says.
            if name == HOST || name == http::header::CONTENT_LENGTH {
                continue;
            }
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
            headers.append(name, value);
        }
        let host = HeaderValue::try_from(self.server.authority());
        let host = host.map_err(|error| Failure::usage(error.to_string()))?;
        headers.insert(HOST, host);
        let own = concat!("posthaste-cli/", env!("CARGO_PKG_VERSION"));
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(own));
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/octet-stream"));
        Ok(request)
    }
}

/// Adds a path and a query to those of a URL.
fn joined(own: &str, added: &str) -> String {
    let apart = |text: &str| match text.split_once('?') {
        None => (text.to_owned(), None),
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
    };
    let ((own, own_query), (suffix, query)) = (apart(own), apart(added));
    let base = if suffix.is_empty() {
        own.as_str()
    } else {
        own.trim_end_matches('/')
    };
    let queries: Vec<String> = own_query.into_iter().chain(query).collect();
    let mark = if queries.is_empty() { "" } else { "?" };
    format!("{base}{suffix}{mark}{}", queries.join("&"))
}

impl Delivered {
    pub(super) fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    /// A line for a person: time, answer, duration, id, type.
    pub(super) fn readable(&self, parcel: &Parcel) -> String {
        let time = self.at.to_string();
        let time = time.get(11..23).unwrap_or(&time);
        let status = self
            .status
            .map_or("---".to_owned(), |status| status.to_string());
        let error = self.error.as_ref();
        let error = error.map_or_else(String::new, |error| format!("  {}", shown(error, 100)));
        let what = match &parcel.event_type {
            Some(event_type) => event_type.clone(),
            None => format!("{} {}", parcel.method, parcel.path),
        };
        format!(
            "{time}  {status}  {:>5} ms  {}  {}{error}",
            self.took.as_millis(),
            shown(&parcel.id, 40),
            shown(what.trim(), 60),
        )
    }

    /// A line of JSON.
    pub(super) fn json(&self, parcel: &Parcel) -> String {
        json!({
            "at": self.at.to_string(),
            "id": parcel.id,
            "eventType": parcel.event_type,
            "status": self.status,
            "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "error": self.error,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_query_follow_those_of_the_url() {
        for (own, added, wanted) in [
            ("/", "", "/"),
            ("/hooks?k=v", "", "/hooks?k=v"),
            ("/", "/a", "/a"),
            ("/hooks/", "/a?x=1", "/hooks/a?x=1"),
            ("/hooks?k=v", "/a?x=1", "/hooks/a?k=v&x=1"),
            ("/hooks", "?x=1", "/hooks?x=1"),
        ] {
            assert_eq!(joined(own, added), wanted, "{own} {added}");
        }
    }

    #[test]
    fn a_recorded_header_neither_frames_the_request_nor_breaks_out_of_it() {
        let target = Target::parse("http://localhost:3000/hooks", false).unwrap();
        let parcel = |name: &str, value: &str| Parcel {
            id: "req_1".into(),
            at: String::new(),
            event_type: None,
            method: "POST".into(),
            path: String::new(),
            headers: vec![(name.into(), value.into())],
            body: Body::of(b"{}"),
        };

        let request = target.request(&parcel("host", "evil.example")).unwrap();
        assert_eq!(request.headers()["host"], "localhost:3000");
        let request = target.request(&parcel("content-length", "9")).unwrap();
        assert!(!request.headers().contains_key("content-length"));
        for (name, value) in [("x", "a\r\nb: c"), ("a b", "c")] {
            assert!(target.request(&parcel(name, value)).is_err(), "{name}");
        }
    }
}

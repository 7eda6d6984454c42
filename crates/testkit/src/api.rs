//! The server's API as a test speaks it: one connection per call, no retries, bytes as given.

#![allow(
    clippy::disallowed_types,
    reason = "a test is the outside world, which connects by itself"
)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// For one call. Far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server's address and the key that opens it.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The bearer token.
    pub token: String,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers, names in lower case.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Bytes,
}

/// An endpoint that was made for a test.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its `ep_…`.
    pub id: String,
    /// Its signing secret, `whsec_…`.
    pub secret: String,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, provided the answer has this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        serde_json::from_slice(&self.body).expect("every answer with a body is JSON")
    }
}

impl Api {
    /// The base URL, as clients want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a call; an error when no whole answer came.
    pub async fn call(&self, method: Method, path: &str, body: Bytes) -> io::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        self.send(request).await
    }

    /// Sends what a provider would send: with these headers alone, and without the key.
    pub async fn deliver(
        &self,
        (method, path): (&str, &str),
        headers: &[(String, String)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into()));
        let answer = self.send(request.expect("a test's request can be sent"));
        answer
            .await
            .unwrap_or_else(|error| panic!("{method} of a provider: {error}"))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> io::Result<Answer> {
        let path = request.uri().path().to_owned();
        tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, path))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> io::Result<Answer> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .map_err(io::Error::other)?;
        // It ends by itself when the sender is dropped.
        tokio::spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.call(Method::GET, path, Bytes::new()).await;
        answer.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Posts a body that is JSON already, byte for byte.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let answer = self.call(Method::POST, path, body.into()).await;
        answer.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Deletes what is at a path.
    pub async fn delete(&self, path: &str) -> Answer {
        let answer = self.call(Method::DELETE, path, Bytes::new()).await;
        answer.unwrap_or_else(|error| panic!("DELETE {path}: {error}"))
    }

    /// Creates an application with a `uid`.
    pub async fn create_application(&self, uid: &str) {
        let body = json!({"name": uid, "uid": uid}).to_string();
        self.post("/api/v1/app", body).await.expect(201);
    }

    /// Creates an endpoint from its wire form, and asks for its secret.
    pub async fn create_endpoint(&self, application: &str, endpoint: &Value) -> Endpoint {
        let path = format!("/api/v1/app/{application}/endpoint");
        let created = self.post(&path, endpoint.to_string()).await.expect(201);
        let id = text(&created["id"]);
        let key = self.get(&format!("{path}/{id}/secret")).await.expect(200);
        Endpoint {
            id,
            secret: text(&key["key"]),
        }
    }

    /// Publishes a payload, which stands in the request as it is; returns the message's id.
    pub async fn publish(&self, application: &str, payload: &str) -> String {
        let answer = self.try_publish(application, payload).await;
        answer.unwrap_or_else(|why| panic!("a publish failed: {why}"))
    }

    /// Publishes a payload; the error says what came instead of a 202.
    pub async fn try_publish(&self, application: &str, payload: &str) -> Result<String, String> {
        let path = format!("/api/v1/app/{application}/msg?with_content=false");
        let body = format!(r#"{{"eventType":"content.published","payload":{payload}}}"#);
        let answer = self.call(Method::POST, &path, body.into()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 202 {
            return Err(format!("{}: {}", answer.status, answer.text()));
        }
        Ok(text(&answer.expect(202)["id"]))
    }

    /// Publishes payloads in one request, all or none; returns their ids in order.
    pub async fn publish_batch(
        &self,
        application: &str,
        payloads: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Vec<String> {
        let messages: Vec<String> = payloads
            .into_iter()
            .map(|payload| {
                let payload = payload.as_ref();
                format!(r#"{{"eventType":"content.published","payload":{payload}}}"#)
            })
            .collect();
        let path = format!("/api/v1/app/{application}/msg/batch");
        let body = format!(r#"{{"messages":[{}]}}"#, messages.join(","));
        let answer = self.post(&path, body).await.expect(202);
        let published = answer["data"].as_array().expect("a list").iter();
        published.map(|message| text(&message["id"])).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

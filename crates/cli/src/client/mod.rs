//! A small client of posthaste's own API.
//!
//! One connection per call: a command makes a handful of calls, and a pool would cost more than it
//! saves. A call that may be repeated is: every POST carries an idempotency key, so a repeat after
//! a lost answer has the effect of one.

mod connect;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trust;

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

pub(crate) use connect::Server;

use crate::exit::Failure;
use crate::profile::Target;
use crate::text::Hidden;
use crate::world;

/// The most bytes of an answer that are read.
const ANSWER_MAX: usize = 64 << 20;
/// How long one try may take, connection and answer included.
const TRY_MAX: Duration = Duration::from_secs(30);
/// The waits between tries. A server that restarts is back within them.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_600),
];
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Which server, and with which key.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Where the server is [default: the profile's, or http://127.0.0.1:8411]
    #[arg(long, env = "POSTHASTE_URL")]
    pub url: Option<String>,
    /// A profile, as `posthaste profile ls` lists them
    #[arg(long, env = "POSTHASTE_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// The API key to use
    #[arg(long, env = "POSTHASTE_TOKEN", hide_env_values = true)]
    pub token: Option<Hidden>,
    /// The key that a server was started with; used where there is no token
    #[arg(long, env = "POSTHASTE_ADMIN_KEY", hide = true, hide_env_values = true)]
    pub admin_key: Option<Hidden>,
}

/// One call: the path with its query, below the server's URL.
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Option<Bytes>,
    idempotency_key: Option<String>,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            idempotency_key: None,
        }
    }

    pub(crate) fn with_json(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The caller's key; a POST without one gets one of its own.
    pub(crate) fn with_idempotency_key(mut self, key: Option<String>) -> Self {
        self.idempotency_key = key;
        self
    }
}

/// An answer of whatever status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The answer's body if it was a success, the failure that it tells of otherwise.
    pub(crate) fn success(self) -> Result<Bytes, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        Err(Failure::answered(self.status, self.request_id, &self.body))
    }
}

/// Reads what the server answered.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the server's answer is not what was expected: {error}");
        Failure::new(crate::Exit::Failure, message)
            .with_hint("is --url a posthaste server, of about the same version?")
    })
}

/// A server and the key to it.
#[derive(Debug)]
pub(crate) struct Client {
    server: Server,
    authorization: Option<HeaderValue>,
    retries: Vec<Duration>,
}

impl Client {
    pub(crate) fn new(target: &Target) -> Result<Self, Failure> {
        let server = Server::parse("--url", &target.url)?;
        let authorization = target.token.as_ref().map(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
                .map_err(|_| Failure::usage("the API key has characters that no key has"))?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        });
        Ok(Self {
            server,
            authorization: authorization.transpose()?,
            retries: RETRIES.into(),
        })
    }

    /// Makes each call once only.
    pub(crate) fn once(mut self) -> Self {
        self.retries.clear();
        self
    }

    #[cfg(test)]
    pub(crate) fn without_waits(mut self) -> Self {
        self.retries.fill(Duration::ZERO);
        self
    }

    /// Makes a call, again after a failure that may pass, and returns the last answer.
    pub(crate) async fn call(&self, mut call: Call) -> Result<Answer, Failure> {
        if call.method == Method::POST {
            // The prefix says that nobody will come back with this key after a few seconds.
            let fresh = || format!("auto_{:032x}", u128::from_be_bytes(world::random()));
            call.idempotency_key.get_or_insert_with(fresh);
        }
        let mut waits = self.retries.iter();
        loop {
            let result = self.try_once(&call).await;
            let may_pass = match &result {
                Ok(answer) => answer.status.is_server_error(),
                Err(_) => true,
            };
            match waits.next() {
                Some(wait) if may_pass => tokio::time::sleep(*wait).await,
                _ => return result,
            }
        }
    }

    async fn try_once(&self, call: &Call) -> Result<Answer, Failure> {
        let request = self.request(call)?;
        let exchange = async {
            let mut sender = self.server.connect().await?;
            let response = sender
                .send_request(request)
                .await
                .map_err(|e| self.broken(&e))?;
            let status = response.status();
            let request_id = request_id(&response);
            let body = Limited::new(response.into_body(), ANSWER_MAX)
                .collect()
                .await;
            let body = body.map_err(|error| self.broken(&*error))?.to_bytes();
            Ok(Answer {
                status,
                request_id,
                body,
            })
        };
        let timed_out = |_| {
            let server = self.server.authority();
            Failure::unavailable(format!(
                "{server} did not answer within {} s",
                TRY_MAX.as_secs()
            ))
        };
        tokio::time::timeout(TRY_MAX, exchange)
            .await
            .map_err(timed_out)?
    }

    /// Opens an answer that is read as it comes. Fails unless it is a success.
    pub(crate) async fn open(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = self.request(&Call::get(path))?;
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(*value)
                .map_err(|_| Failure::usage(format!("{name} cannot be sent")))?;
            value.set_sensitive(true);
            request.headers_mut().insert(*name, value);
        }
        let opening = async {
            let mut sender = self.server.connect().await?;
            sender
                .send_request(request)
                .await
                .map_err(|error| self.broken(&error))
        };
        let response = tokio::time::timeout(TRY_MAX, opening).await;
        let response =
            response.map_err(|_| Failure::unavailable("the server does not answer"))??;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let request_id = request_id(&response);
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect();
        let body = body.await.map_err(|error| self.broken(&*error))?.to_bytes();
        Err(Failure::answered(status, request_id, &body))
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Failure {
        let server = self.server.authority();
        Failure::unavailable(format!("the connection to {server} broke: {error}"))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Failure> {
        let path = format!("{}{}", self.server.prefix(), call.path);
        let uri: Uri = path
            .parse()
            .map_err(|_| Failure::usage(format!("bad path {path:?}")))?;
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header(HOST, self.server.authority())
            .header(
                USER_AGENT,
                concat!("posthaste-cli/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(call.body.clone().unwrap_or_default());
        request
            .body(body)
            .map_err(|error| Failure::usage(format!("cannot be sent: {error}")))
    }
}

fn request_id(response: &Response<Incoming>) -> Option<String> {
    let id = response.headers().get("x-request-id")?;
    id.to_str().ok().map(str::to_owned)
}

/// Writes text so that it can stand between two slashes of a path, or in a query.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
    }
    out
}

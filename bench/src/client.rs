//! One kept-alive connection to the API.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The header that makes a repeated publish one publish.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A connection that posts one request after the other.
///
/// After an error it is of no more use; the caller opens another one.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Connection {
    /// Connects, and spawns the task that drives the connection; an empty token is not sent.
    pub async fn open(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its error shows at the request in flight as well.
        tokio::spawn(async move { drop(connection.await) });
        let authorization = Some(format!("Bearer {token}")).filter(|_| !token.is_empty());
        let authorization = authorization
            .as_deref()
            .map(HeaderValue::from_str)
            .transpose()?;
        Ok(Self {
            sender,
            host: HeaderValue::from_str(&address.to_string())?,
            authorization,
        })
    }

    /// Says whether the other side has closed it, so that nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Posts JSON to `path`, with more headers if given, and reads the whole answer.
    pub async fn post(
        &mut self,
        path: &str,
        extra: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> anyhow::Result<Reply> {
        let mut request: Request<Full<Bytes>> = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse()?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(extra);
        self.send(request).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

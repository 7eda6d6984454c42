//! The relay's front: parse, queue, answer.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use super::lane::{Inbox, Item, Message, Target};

/// Where the one source of the relay takes in whatever comes.
const SOURCE: &str = "/in/relay";

/// The fields of `MessageIn` that matter, borrowed from the request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageIn<'a> {
    #[serde(borrow)]
    event_type: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct BatchIn<'a> {
    #[serde(borrow)]
    messages: Vec<MessageIn<'a>>,
}

#[derive(Deserialize)]
struct EndpointIn {
    url: String,
}

pub(super) struct Intake {
    inbox: Arc<Inbox>,
    messages: Cell<u64>,
    targets: Cell<u32>,
}

impl Intake {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            inbox,
            messages: Cell::new(0),
            targets: Cell::new(0),
        }
    }

    pub(super) async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        let intake = Rc::new(self);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let intake = Rc::clone(&intake);
            let service = service_fn(move |request| {
                let intake = Rc::clone(&intake);
                async move { Ok::<_, Infallible>(intake.answer(request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::task::spawn_local(async move { drop(connection.await) });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let outcome = self.take(request).await;
        let (status, body) = outcome.unwrap_or_else(|error| {
            (
                StatusCode::BAD_REQUEST,
                format!("{{\"detail\":\"{error}\"}}").into(),
            )
        });
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }

    async fn take(&self, request: Request<Incoming>) -> anyhow::Result<(StatusCode, Bytes)> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path();
        if path.ends_with("/msg") {
            let id = self.publish(&serde_json::from_slice(&body)?, &body).await?;
            return Ok((StatusCode::ACCEPTED, format!("{{\"id\":\"{id}\"}}").into()));
        }
        if path.ends_with("/msg/batch") {
            let batch: BatchIn<'_> = serde_json::from_slice(&body)?;
            let mut data = Vec::with_capacity(batch.messages.len());
            for message in &batch.messages {
                let id = self.publish(message, &body).await?;
                data.push(format!("{{\"id\":\"{id}\"}}"));
            }
            let answer = format!("{{\"data\":[{}]}}", data.join(","));
            return Ok((StatusCode::ACCEPTED, answer.into()));
        }
        if path == SOURCE {
            let id = self.queue(body).await?;
            return Ok((StatusCode::OK, format!("{{\"id\":\"{id}\"}}").into()));
        }
        if path.ends_with("/source") {
            let answer = format!("{{\"id\":\"src_relay\",\"url\":\"http://relay{SOURCE}\"}}");
            return Ok((StatusCode::CREATED, answer.into()));
        }
        if path.ends_with("/endpoint") {
            self.add_target(&serde_json::from_slice(&body)?)?;
            return Ok((StatusCode::CREATED, "{\"id\":\"ep_relay\"}".into()));
        }
        let status = if path == "/readyz" {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        Ok((status, "{\"id\":\"app_relay\"}".into()))
    }

    async fn publish(&self, message: &MessageIn<'_>, body: &Bytes) -> anyhow::Result<String> {
        anyhow::ensure!(!message.event_type.is_empty(), "an event type is needed");
        self.queue(body.slice_ref(message.payload.get().as_bytes()))
            .await
    }

    async fn queue(&self, payload: Bytes) -> anyhow::Result<String> {
        let number = self.messages.get();
        self.messages.set(number + 1);
        let id = format!("msg_{number:026x}");
        self.inbox.room_for(self.targets.get()).await;
        self.inbox.put(Item::Message(Message {
            id: HeaderValue::from_str(&id)?,
            payload,
        }));
        Ok(id)
    }

    fn add_target(&self, endpoint: &EndpointIn) -> anyhow::Result<()> {
        let uri: hyper::Uri = endpoint.url.parse()?;
        let authority = uri.authority().context("a URL without an authority")?;
        self.targets.set(self.targets.get() + 1);
        self.inbox.put(Item::Target(Target {
            address: authority.as_str().parse()?,
            path: uri.path().parse()?,
        }));
        Ok(())
    }
}

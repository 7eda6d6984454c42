//! `/in/{token}`: where providers send to. The URL is the key; there is no other.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use domain::is_plain_suffix;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use service::{HandshakeAnswer, Incoming, Received, Refusal, Service, Taken};

use crate::error::ApiError;
use crate::extract::read_body;
use crate::problem::Code;

/// What the paths of inbound URLs begin with; what follows is never logged.
pub(crate) const PREFIX: &str = "/in/";

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Stands for an address that is not known; no network of anybody's has it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Tells a repeat from the first request.
const DUPLICATE: HeaderName = HeaderName::from_static("posthaste-duplicate");

pub(crate) fn routes() -> Router<Service> {
    Router::new()
        .route("/in/{token}", any(receive))
        .route("/in/{token}/", any(receive))
        .route("/in/{token}/{*suffix}", any(receive))
}

async fn receive(State(service): State<Service>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let (token, suffix) = path.split_at(path.find('/').unwrap_or(path.len()));
    // What leads out of the path, once somebody normalises it, leads nowhere here.
    let source = if is_plain_suffix(suffix) {
        service.source_at(token).await?
    } else {
        None
    };
    let Some(source) = source else {
        service.count_unknown_source();
        return Err(ApiError::of(Code::NotFound));
    };
    let mut incoming = head(&service, &parts, suffix);
    if let Err(refusal) = service.admit_request(&source, &incoming) {
        service.delay_refusal(&source).await;
        return Ok(refused(refusal));
    }
    // Kept until there is an answer: the bytes are in memory until then.
    let share = match read_body(&parts, body, source.body_max()).await {
        Ok((bytes, share)) => {
            incoming.body = bytes;
            share
        }
        Err(error) if error.code() == Code::PayloadTooLarge => {
            return Ok(refused(service.refuse_body(&source, &incoming)));
        }
        Err(error) => return Err(error),
    };
    let received = service.receive(Arc::clone(&source), incoming).await?;
    drop(share);
    Ok(match received {
        Received::Taken(taken) => taken_in(taken),
        Received::Handshake(answer) => handshake(answer),
        Received::Refused(refusal) => {
            service.delay_refusal(&source).await;
            refused(refusal)
        }
    })
}

/// Reads everything but the body.
fn head(service: &Service, parts: &Parts, suffix: &str) -> Incoming {
    let peer = parts.extensions.get::<Peer>();
    let peer = peer.map_or(NOBODY, |peer| peer.0);
    let forwarded = parts.headers.get_all("x-forwarded-for").iter();
    // What is no text is no address either.
    let forwarded: Vec<&str> = forwarded
        .map(|value| value.to_str().unwrap_or("?"))
        .collect();
    let client = service.client_address(peer, forwarded.into_iter());
    let headers = parts.headers.iter();
    Incoming {
        method: parts.method.as_str().to_owned(),
        suffix: suffix.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: headers
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    Bytes::copy_from_slice(value.as_bytes()),
                )
            })
            .collect(),
        peer: client.unwrap_or(NOBODY),
        body: Bytes::new(),
        at: service.received_at(),
    }
}

fn taken_in(taken: Taken) -> Response {
    let mut response = with_type(taken.status, taken.body, &taken.content_type);
    if taken.duplicate {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(DUPLICATE, yes);
    }
    response
}

fn handshake(answer: HandshakeAnswer) -> Response {
    let mut response = with_type(answer.status, answer.body, &answer.content_type);
    for (name, value) in answer.headers {
        let pair = HeaderName::from_bytes(name.as_bytes()).ok();
        if let Some((name, value)) = pair.zip(HeaderValue::from_str(&value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn with_type(status: u16, body: String, content_type: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// Says no, and nothing that would help somebody who guesses.
fn refused(refusal: Refusal) -> Response {
    let plain = |code: Code, detail: &'static str| ApiError::Plain(code, detail.into());
    let error = match refusal {
        Refusal::Unverified => ApiError::of(Code::VerificationFailed),
        Refusal::Malformed => plain(
            Code::MalformedRequest,
            "Something in the request comes twice, or is too long.",
        ),
        Refusal::Loop => ApiError::of(Code::LoopDetected),
        Refusal::Address => ApiError::of(Code::AddressNotAllowed),
        Refusal::Paused => ApiError::of(Code::SourcePaused),
        Refusal::Rate(_) => plain(
            Code::RateLimited,
            "Requests come too fast; try again later.",
        ),
        Refusal::TooLarge(max) => {
            let detail = format!("The body is larger than {max} bytes.");
            ApiError::Plain(Code::PayloadTooLarge, detail.into())
        }
        Refusal::Type => plain(
            Code::UnsupportedMediaType,
            "The body is compressed, or of a type that is not taken.",
        ),
        Refusal::Method => ApiError::of(Code::MethodNotAllowed),
        Refusal::Conflict => plain(Code::Conflict, "This id came before with another content."),
        Refusal::KeyUnavailable => ApiError::of(Code::KeyUnavailable),
        Refusal::Challenge => plain(
            Code::MalformedRequest,
            "The challenge is not one that may be answered.",
        ),
        Refusal::Handshake => ApiError::of(Code::HandshakeRefused),
        Refusal::Events => plain(Code::MalformedRequest, "The events cannot be read."),
    };
    let mut response = error.into_response();
    if let Refusal::Rate(seconds) = refusal {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if refusal == Refusal::Method {
        let post = HeaderValue::from_static("POST");
        response.headers_mut().insert(header::ALLOW, post);
    }
    response
}

//! The body of a request: read within its limit, kept as exact bytes, parsed on demand.

use std::error::Error as _;
use std::io;
use std::marker::PhantomData;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, SchemaObject};
use aide::operation::set_body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use domain::Limits;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::Deserialize;
use service::{Idempotency, IdempotentRequest, Service};

use super::access::Access;
use super::body_memory::{FREE, Share};
use super::json;
use crate::error::ApiError;
use crate::problem::Code;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which limit a body has.
pub(crate) trait BodyLimit {
    fn max(limits: &Limits) -> usize;
}

/// The limit of most bodies.
#[derive(Debug)]
pub(crate) struct BodyBytes;
/// The limit of a publish: a payload, and as much around it as any body may have.
#[derive(Debug)]
pub(crate) struct PublishBytes;
/// The limit of a batch.
#[derive(Debug)]
pub(crate) struct BatchBytes;

impl BodyLimit for BodyBytes {
    fn max(limits: &Limits) -> usize {
        // A catalogue entry may be larger than other bodies, if the operator allows it.
        limits.body_bytes.max(limits.schema_bytes + 16 * 1024)
    }
}

impl BodyLimit for PublishBytes {
    fn max(limits: &Limits) -> usize {
        limits.payload_bytes + limits.body_bytes
    }
}

impl BodyLimit for BatchBytes {
    fn max(limits: &Limits) -> usize {
        limits.batch_bytes
    }
}

/// A JSON body that `T` describes, as the bytes that came.
#[derive(Debug)]
pub(crate) struct Body<T, L = BodyBytes> {
    raw: Raw,
    describes: PhantomData<fn() -> (T, L)>,
}

/// A POST whose body nobody reads; it still has an idempotency key.
#[derive(Debug)]
pub(crate) struct NoBody(Raw);

#[derive(Debug)]
struct Raw {
    parts: Parts,
    bytes: Bytes,
    _share: Share,
}

impl<T, L> Body<T, L> {
    /// Parses the body; what is parsed may borrow from it.
    pub(crate) fn parse<'a, U: Deserialize<'a>>(&'a self) -> Result<U, ApiError> {
        json::parse(&self.raw.bytes)
    }

    /// Parses the body, of which an empty one is the same as `{}`.
    pub(crate) fn parse_or_default<'a, U: Deserialize<'a> + Default>(
        &'a self,
    ) -> Result<U, ApiError> {
        if self.raw.bytes.is_empty() {
            return Ok(U::default());
        }
        self.parse()
    }

    /// Refuses a publish that says it was caused by deliveries more than three times over.
    pub(crate) fn check_hops(&self) -> Result<(), ApiError> {
        let given = self.raw.parts.headers.get_all("webhook-hops");
        // What is not a number was not written by us, and says nothing.
        let hops = given
            .iter()
            .filter_map(|hops| hops.to_str().ok()?.trim().parse::<u64>().ok());
        if hops.max().is_some_and(|hops| hops > domain::HOPS_MAX) {
            return Err(ApiError::of(Code::LoopDetected));
        }
        Ok(())
    }

    /// Returns the request's idempotency key, if it has one.
    pub(crate) fn idempotency(
        &self,
        service: &Service,
        access: Access,
    ) -> Result<Option<Idempotency>, ApiError> {
        self.raw.idempotency(service, access)
    }
}

impl NoBody {
    /// Returns the request's idempotency key, if it has one.
    pub(crate) fn idempotency(
        &self,
        service: &Service,
        access: Access,
    ) -> Result<Option<Idempotency>, ApiError> {
        self.0.idempotency(service, access)
    }
}

impl Raw {
    fn idempotency(
        &self,
        service: &Service,
        access: Access,
    ) -> Result<Option<Idempotency>, ApiError> {
        let mut given = self.parts.headers.get_all(&IDEMPOTENCY_KEY).iter();
        let Some(key) = given.next() else {
            return Ok(None);
        };
        if given.next().is_some() {
            let place = ["header", "idempotency-key"];
            return Err(ApiError::field(&place, "is given twice"));
        }
        let request = IdempotentRequest {
            key: key.as_bytes(),
            method: self.parts.method.as_str(),
            path: self.parts.uri.path(),
            body: &self.bytes,
        };
        Ok(Some(service.idempotency(access.caller, &request)?))
    }
}

impl<T: Send, L: BodyLimit + Send> FromRequest<Service> for Body<T, L> {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Service) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_type(&parts)?;
        check_key(&parts, service.limits())?;
        let (bytes, share) = read(&parts, body, L::max(service.limits())).await?;
        Ok(Self {
            raw: Raw {
                parts,
                bytes,
                _share: share,
            },
            describes: PhantomData,
        })
    }
}

impl FromRequest<Service> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Service) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_key(&parts, service.limits())?;
        let (bytes, share) = read(&parts, body, BodyBytes::max(service.limits())).await?;
        Ok(Self(Raw {
            parts,
            bytes,
            _share: share,
        }))
    }
}

/// Refuses what would be misread: another type than JSON, or a compressed body.
fn check_type(parts: &Parts) -> Result<(), ApiError> {
    let unsupported =
        |detail: &'static str| Err(ApiError::Plain(Code::UnsupportedMediaType, detail.into()));
    let identity = HeaderValue::from_static("identity");
    let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| *encoding != identity) {
        return unsupported("A compressed body is not read; send it without Content-Encoding.");
    }
    match parts.headers.get(header::CONTENT_TYPE) {
        Some(given) if !is_json(given.as_bytes()) => {
            unsupported("The body must be JSON, with `Content-Type: application/json`.")
        }
        _ => Ok(()),
    }
}

/// Refuses a key that is none, also where doing the request twice is doing it once and the key
/// decides nothing: whoever sends it relies on it.
fn check_key(parts: &Parts, limits: &Limits) -> Result<(), ApiError> {
    let max = limits.idempotency_key_bytes;
    let mut given = parts.headers.get_all(&IDEMPOTENCY_KEY).iter();
    if let Some(bytes) = given.find_map(|key| (!(1..=max).contains(&key.len())).then(|| key.len()))
    {
        let msg = format!("has {bytes} bytes; 1 to {max} are allowed");
        return Err(ApiError::field(&["header", "idempotency-key"], msg));
    }
    Ok(())
}

/// `application/json`, or any type that ends in `+json`, with or without parameters.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next();
    let essence = essence
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    essence == b"application/json" || essence.ends_with(b"+json")
}

/// Reads a body of at most `max` bytes; what says that it is longer is not read at all. The bytes
/// count among those of all bodies for as long as the share is kept.
pub(crate) async fn read(
    parts: &Parts,
    mut body: axum::body::Body,
    max: usize,
) -> Result<(Bytes, Share), ApiError> {
    let length = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let mut share = Share::of(parts.extensions.get());
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else {
            continue; // Trailers say nothing that anybody reads.
        };
        let before = first.as_ref().map_or(rest.len(), Bytes::len);
        if before + data.len() > max {
            return Err(too_large(max));
        }
        if before == 0 {
            if data.len() > FREE {
                share.take(data.len())?;
            }
            // Most bodies come in one piece, which then needs no copy.
            first = Some(data);
            continue;
        }
        let needed = before + data.len();
        if rest.capacity() < needed {
            // By itself it would double beyond the limit.
            let room = (needed * 2).min(length.unwrap_or(max)).max(needed);
            share.take(room - rest.capacity())?;
            let mut larger = BytesMut::with_capacity(room);
            larger.extend_from_slice(&rest);
            rest = larger;
        }
        if let Some(first) = first.take() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    let bytes = first.unwrap_or_else(|| rest.freeze());
    Ok((bytes, share))
}

fn too_large(max: usize) -> ApiError {
    let detail = format!("The body is larger than {max} bytes.");
    ApiError::Plain(Code::PayloadTooLarge, detail.into())
}

/// Tells a body that came too slowly from one that is broken.
fn broken(error: &axum::Error) -> ApiError {
    let mut source = error.source();
    while let Some(cause) = source {
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return ApiError::of(Code::RequestTimeout);
        }
        source = cause.source();
    }
    ApiError::Plain(Code::MalformedRequest, "The body is not complete.".into())
}

impl<T: JsonSchema, L> OperationInput for Body<T, L> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let media = MediaType {
            schema: Some(SchemaObject {
                json_schema: ctx.schema.subschema_for::<T>(),
                example: None,
                external_docs: None,
            }),
            ..MediaType::default()
        };
        let body = RequestBody {
            description: None,
            content: [("application/json".to_owned(), media)].into(),
            required: true,
            extensions: [].into(),
        };
        set_body(ctx, operation, body);
    }
}

impl OperationInput for NoBody {}

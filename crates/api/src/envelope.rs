//! What is around every request: its name, its line in the log, and a catch for panics.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::HeaderValue;
use service::Standing;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::{debug, error};

use crate::error::{ApiError, Cause};
use crate::inbound;
use crate::rate_limit::{self, Slot};
use crate::request_id;

/// Wraps a service into [`Envelope`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvelopeLayer;

/// Names requests and logs how they ended.
#[derive(Clone, Debug)]
pub(crate) struct Envelope<S>(S);

impl<S> Layer<S> for EnvelopeLayer {
    type Service = Envelope<S>;

    fn layer(&self, inner: S) -> Envelope<S> {
        Envelope(inner)
    }
}

impl<S> Service<Request> for Envelope<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = request_id::next();
        let slot = Slot::default();
        let extensions = request.extensions_mut();
        extensions.insert(id);
        extensions.insert(slot.clone());
        let began = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        // A panic ends one request, not the connection and what is pipelined on it.
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        Box::pin(async move {
            let mut response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => ApiError::Internal("a handler panicked".into()).into_response(),
            };
            // Quoted, so that no byte of a path can begin a line or move a terminal's cursor.
            // An inbound URL is a key: whoever reads the log must not learn it.
            let path = match uri.path() {
                path if path.starts_with(inbound::PREFIX) => inbound::PREFIX,
                path => path,
            };
            let status = response.status().as_u16();
            if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
                error!(request.id = %id, %method, ?path, status, ?cause, "A request failed");
            } else {
                let duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                debug!(request.id = %id, %method, ?path, status, duration_us, "Answered");
            }
            let id =
                HeaderValue::try_from(id.to_string()).expect("hexadecimal digits and a hyphen");
            response.headers_mut().insert(request_id::HEADER, id);
            let refused = response.extensions_mut().remove::<Standing>();
            if let Some(standing) = refused.as_ref().or(slot.0.get()) {
                rate_limit::show(standing, response.headers_mut());
            }
            Ok(response)
        })
    }
}

//! Extractors: what handlers ask of a request. Every rejection is an [`crate::error::ApiError`].

mod access;
mod body;
mod json;
mod path;
mod query;

pub(crate) use access::{Access, bearer};
pub(crate) use body::{BatchBytes, Body, IDEMPOTENCY_KEY, NoBody, PublishBytes};
pub(crate) use path::{
    AppPath, AttemptPath, EndpointMessagePath, EndpointPath, EventTypePath, JobPath, KeyPath,
    MessagePath, Path, TaskPath, application as application_ref, endpoint as endpoint_ref,
};
pub(crate) use query::{Flag, List, Parsed, Query};

//! Extractors: what handlers ask of a request. Every rejection is an [`crate::error::ApiError`].

mod access;
mod body;
mod body_memory;
mod json;
pub(crate) mod path;
mod query;

pub(crate) use access::{Access, bearer};
pub(crate) use body::{BatchBytes, Body, IDEMPOTENCY_KEY, NoBody, PublishBytes, read as read_body};
pub(crate) use body_memory::BodyMemory;
pub(crate) use json::parse as parse_json;
pub(crate) use path::{
    AppPath, AttemptPath, EndpointMessagePath, EndpointPath, EventTypePath, JobPath, KeyPath,
    MessagePath, Path, ProviderPath, RequestPath, SourcePath, TaskPath,
    application as application_ref, endpoint as endpoint_ref, source as source_ref,
};
pub(crate) use query::{Flag, List, Parsed, Query};

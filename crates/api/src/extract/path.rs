//! The parts of a path: ids of ours, or names that callers chose.
//!
//! What cannot be the name of anything names nothing: it is 404, not 422.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema};
use axum::extract::FromRequestParts;
use domain::{ApiKeyId, AttemptId, EventId, EventType, InboundId, JobId, Uid};
use http::request::Parts;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::{ApplicationRef, EndpointRef, MessageRef, SourceRef};

use crate::error::ApiError;

/// The parts of the path.
#[derive(Clone, Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            // Only bytes that are no text fail here, and they name nothing.
            .map_err(|_| not_found("path"))
    }
}

fn not_found(what: &'static str) -> ApiError {
    service::Error::NotFound(what).into()
}

/// Reads the id or uid of an application.
pub(crate) fn application(text: &str) -> Result<ApplicationRef, ApiError> {
    match text.parse() {
        Ok(id) => Ok(ApplicationRef::Id(id)),
        Err(_) => match Uid::parse(text) {
            Ok(uid) => Ok(ApplicationRef::Uid(uid)),
            Err(_) => Err(not_found("application")),
        },
    }
}

/// Reads the id or uid of an endpoint.
pub(crate) fn endpoint(text: &str) -> Result<EndpointRef, ApiError> {
    match text.parse() {
        Ok(id) => Ok(EndpointRef::Id(id)),
        Err(_) => match Uid::parse(text) {
            Ok(uid) => Ok(EndpointRef::Uid(uid)),
            Err(_) => Err(not_found("endpoint")),
        },
    }
}

pub(crate) fn message(text: &str) -> Result<MessageRef, ApiError> {
    match text.parse() {
        Ok(id) => Ok(MessageRef::Id(id)),
        Err(_) => match EventId::parse(text) {
            Ok(id) => Ok(MessageRef::EventId(id)),
            Err(_) => Err(not_found("message")),
        },
    }
}

/// `{app_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct AppPath {
    /// The application's id or uid
    app_id: String,
}

impl AppPath {
    pub(crate) fn application(&self) -> Result<ApplicationRef, ApiError> {
        application(&self.app_id)
    }
}

/// `{app_id}` and `{endpoint_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct EndpointPath {
    /// The application's id or uid
    app_id: String,
    /// The endpoint's id or uid
    endpoint_id: String,
}

impl EndpointPath {
    pub(crate) fn parse(&self) -> Result<(ApplicationRef, EndpointRef), ApiError> {
        Ok((application(&self.app_id)?, endpoint(&self.endpoint_id)?))
    }
}

/// `{app_id}` and `{msg_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct MessagePath {
    /// The application's id or uid
    app_id: String,
    /// The message's id or event id
    msg_id: String,
}

impl MessagePath {
    pub(crate) fn parse(&self) -> Result<(ApplicationRef, MessageRef), ApiError> {
        Ok((application(&self.app_id)?, message(&self.msg_id)?))
    }
}

/// `{app_id}`, `{msg_id}` and `{attempt_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of the API's path parameters"
)]
pub(crate) struct AttemptPath {
    /// The application's id or uid
    app_id: String,
    /// The message's id or event id
    msg_id: String,
    /// The attempt's id
    attempt_id: String,
}

impl AttemptPath {
    pub(crate) fn parse(&self) -> Result<(ApplicationRef, MessageRef, AttemptId), ApiError> {
        let attempt = self.attempt_id.parse().map_err(|_| not_found("attempt"))?;
        Ok((application(&self.app_id)?, message(&self.msg_id)?, attempt))
    }
}

/// `{app_id}`, `{msg_id}` and `{endpoint_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of the API's path parameters"
)]
pub(crate) struct EndpointMessagePath {
    /// The application's id or uid
    app_id: String,
    /// The message's id or event id
    msg_id: String,
    /// The endpoint's id or uid
    endpoint_id: String,
}

impl EndpointMessagePath {
    pub(crate) fn parse(&self) -> Result<(ApplicationRef, MessageRef, EndpointRef), ApiError> {
        Ok((
            application(&self.app_id)?,
            message(&self.msg_id)?,
            endpoint(&self.endpoint_id)?,
        ))
    }
}

/// `{key_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct KeyPath {
    /// The API key's id
    key_id: String,
}

impl KeyPath {
    pub(crate) fn parse(&self) -> Result<ApiKeyId, ApiError> {
        self.key_id.parse().map_err(|_| not_found("API key"))
    }
}

/// `{event_type_name}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct EventTypePath {
    /// The event type's name
    event_type_name: String,
}

impl EventTypePath {
    pub(crate) fn parse(&self) -> Result<EventType, ApiError> {
        EventType::parse(&self.event_type_name).map_err(|_| not_found("event type"))
    }
}

/// `{app_id}` and `{job_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct JobPath {
    /// The application's id or uid
    app_id: String,
    /// The job's id
    job_id: String,
}

impl JobPath {
    pub(crate) fn parse(&self) -> Result<(ApplicationRef, JobId), ApiError> {
        Ok((application(&self.app_id)?, job(&self.job_id)?))
    }
}

/// Reads the id or uid of a source.
pub(crate) fn source(text: &str) -> Result<SourceRef, ApiError> {
    match text.parse() {
        Ok(id) => Ok(SourceRef::Id(id)),
        Err(_) => match Uid::parse(text) {
            Ok(uid) => Ok(SourceRef::Uid(uid)),
            Err(_) => Err(not_found("source")),
        },
    }
}

/// `{app_id}` and `{source_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct SourcePath {
    /// The application's id or uid
    app_id: String,
    /// The source's id or uid
    source_id: String,
}

impl SourcePath {
    pub(crate) fn parse(&self) -> Result<(ApplicationRef, SourceRef), ApiError> {
        Ok((application(&self.app_id)?, source(&self.source_id)?))
    }
}

/// `{app_id}` and `{request_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct RequestPath {
    /// The application's id or uid
    app_id: String,
    /// The inbound request's id
    request_id: String,
}

impl RequestPath {
    pub(crate) fn parse(&self) -> Result<(ApplicationRef, InboundId), ApiError> {
        let request = self.request_id.parse().map_err(|_| not_found("request"))?;
        Ok((application(&self.app_id)?, request))
    }
}

/// `{provider_name}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct ProviderPath {
    /// The provider's name, such as `github`
    provider_name: String,
}

impl ProviderPath {
    pub(crate) fn name(&self) -> &str {
        &self.provider_name
    }
}

/// `{task_id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub(crate) struct TaskPath {
    /// The task's id
    task_id: String,
}

impl TaskPath {
    pub(crate) fn parse(&self) -> Result<JobId, ApiError> {
        job(&self.task_id)
    }
}

fn job(text: &str) -> Result<JobId, ApiError> {
    text.parse().map_err(|_| not_found("job"))
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Path);
        add_parameters(ctx, operation, parameters);
    }
}

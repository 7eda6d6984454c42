//! `/api/v1/app/{app_id}/endpoint`: where messages of an application go.

use std::collections::BTreeMap;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use domain::EndpointId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{Endpoint, EndpointInput, EndpointPatch, Order, SecretInput, Service, TuningInput};

use crate::answer::{Answer, Created, Found, NoContent, Upserted};
use crate::error::ApiError;
use crate::extract::{Access, AppPath, Body, EndpointPath, NoBody, Path, Query};
use crate::list::{ListResponse, OrderQuery, PageQuery};
use crate::openapi::Docs;
use crate::wire::double_option;

const DOCS: Docs = Docs("Endpoint");

pub(crate) fn routes() -> ApiRouter<Service> {
    let put_docs = DOCS.op("v1.endpoint.update", "Replace or create an endpoint");
    let patch_docs = DOCS.op("v1.endpoint.patch", "Change an endpoint");
    let delete_docs = DOCS.op("v1.endpoint.delete", "Delete an endpoint");
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/endpoint",
            get_with(list, DOCS.op("v1.endpoint.list", "List endpoints")).post_with(
                create,
                DOCS.post("v1.endpoint.create", "Create an endpoint"),
            ),
        )
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}",
            get_with(get, DOCS.op("v1.endpoint.get", "Get an endpoint"))
                .put_with(put, put_docs)
                .patch_with(patch, patch_docs)
                .delete_with(delete, delete_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/pause",
            post_with(
                pause,
                DOCS.post("v1.endpoint.pause", "Hold an endpoint's deliveries"),
            ),
        )
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/unpause",
            post_with(
                unpause,
                DOCS.post("v1.endpoint.unpause", "Let an endpoint's deliveries go on"),
            ),
        )
}

/// An endpoint to create.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "a setting has three cases: leave, clear, set"
)]
struct EndpointIn {
    /// Where to
    url: String,
    /// Your own name for it, which works in place of its id
    uid: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    disabled: bool,
    /// Only messages of these event types; in a pattern, `*` is one segment and a last `**` is
    /// one or more, as in `content.*` and `content.**`
    event_types: Option<Vec<String>>,
    /// The older name of `eventTypes`
    #[schemars(skip)]
    filter_types: Option<Vec<String>>,
    /// Only messages with one of these channels
    channels: Option<Vec<String>>,
    /// Messages per second
    throttle_rate: Option<u16>,
    /// Seconds to wait before each attempt, the first 0; left out or null, the server's
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<u32>>")]
    retry_schedule: Option<Option<Vec<u32>>>,
    /// Seconds for one attempt, from name look-up to the end of the answer
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u32>")]
    timeout_seconds: Option<Option<u32>>,
    /// Attempts in flight at once, at the most
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u16>")]
    max_concurrency: Option<Option<u16>>,
    /// Send `svix-id`, `svix-timestamp` and `svix-signature` beside the `webhook-` headers
    svix_headers: Option<bool>,
    /// What it gets of what a source received: `message`, signed by us, with the provider's headers
    /// under `posthaste-from-` (the default), or `request`, as it came
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<DeliverAsWire>")]
    deliver_as: Option<Option<String>>,
    /// The only headers of received requests that it gets, each a name or a beginning and `*`;
    /// null is all that may be passed on
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<String>>")]
    forward_headers: Option<Option<Vec<String>>>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// The signing secret, `whsec_` and base64 of 24 to 64 bytes, or an Ed25519 private key,
    /// `whsk_`; made when left out
    secret: Option<String>,
    /// What to sign with: `hmac-sha256` (the default) or `ed25519`
    signature: Option<String>,
    /// Headers to send with each message
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
}

/// An endpoint to replace one by, or to create.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "a setting has three cases: leave, clear, set"
)]
struct EndpointUpdate {
    /// Where to
    url: String,
    /// Your own name for it, which works in place of its id
    uid: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    disabled: bool,
    /// Only messages of these event types; in a pattern, `*` is one segment and a last `**` is
    /// one or more, as in `content.*` and `content.**`
    event_types: Option<Vec<String>>,
    /// The older name of `eventTypes`
    #[schemars(skip)]
    filter_types: Option<Vec<String>>,
    /// Only messages with one of these channels
    channels: Option<Vec<String>>,
    /// Messages per second
    throttle_rate: Option<u16>,
    /// Seconds to wait before each attempt, the first 0; left out or null, the server's
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<u32>>")]
    retry_schedule: Option<Option<Vec<u32>>>,
    /// Seconds for one attempt, from name look-up to the end of the answer
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u32>")]
    timeout_seconds: Option<Option<u32>>,
    /// Attempts in flight at once, at the most
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u16>")]
    max_concurrency: Option<Option<u16>>,
    /// Send `svix-id`, `svix-timestamp` and `svix-signature` beside the `webhook-` headers
    svix_headers: Option<bool>,
    /// What it gets of what a source received: `message`, signed by us, with the provider's headers
    /// under `posthaste-from-` (the default), or `request`, as it came
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<DeliverAsWire>")]
    deliver_as: Option<Option<String>>,
    /// The only headers of received requests that it gets, each a name or a beginning and `*`;
    /// null is all that may be passed on
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<String>>")]
    forward_headers: Option<Option<Vec<String>>>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// Fields of an endpoint to change; those left out stay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "a patch has three cases: leave, clear, set"
)]
struct EndpointPatchIn {
    url: Option<String>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<String>")]
    uid: Option<Option<String>>,
    description: Option<String>,
    disabled: Option<bool>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<String>>")]
    /// Only messages of these event types and patterns
    event_types: Option<Option<Vec<String>>>,
    /// The older name of `eventTypes`
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(skip)]
    filter_types: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<String>>")]
    channels: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u16>")]
    throttle_rate: Option<Option<u16>>,
    /// Seconds to wait before each attempt, the first 0; left out or null, the server's
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<u32>>")]
    retry_schedule: Option<Option<Vec<u32>>>,
    /// Seconds for one attempt, from name look-up to the end of the answer
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u32>")]
    timeout_seconds: Option<Option<u32>>,
    /// Attempts in flight at once, at the most
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<u16>")]
    max_concurrency: Option<Option<u16>>,
    /// Send `svix-id`, `svix-timestamp` and `svix-signature` beside the `webhook-` headers
    svix_headers: Option<bool>,
    /// What it gets of what a source received: `message`, signed by us, with the provider's headers
    /// under `posthaste-from-` (the default), or `request`, as it came
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<DeliverAsWire>")]
    deliver_as: Option<Option<String>>,
    /// The only headers of received requests that it gets, each a name or a beginning and `*`;
    /// null is all that may be passed on
    #[serde(default, deserialize_with = "double_option")]
    #[schemars(with = "Option<Vec<String>>")]
    forward_headers: Option<Option<Vec<String>>>,
    metadata: Option<BTreeMap<String, String>>,
}

/// An endpoint.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointOut {
    #[serde(flatten)]
    common: EndpointCommon,
    metadata: BTreeMap<String, String>,
}

/// What is shown of an endpoint everywhere.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointCommon {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    url: String,
    description: String,
    disabled: bool,
    /// Why it is disabled: `requested`, `gone` (it answered 410) or `failing` (for too long)
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<&'static str>,
    /// Since when it is disabled
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<String>,
    /// When its first failure since its last success was, if it was disabled for failing
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    /// Its deliveries are held
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_types: Option<Vec<String>>,
    /// The older name of `eventTypes`, for clients that know no other
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    filter_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle_rate: Option<u16>,
    /// Its own seconds to wait before each attempt
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_schedule: Option<Vec<u64>>,
    /// Its own seconds for one attempt
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    /// Its own number of attempts in flight at once, at the most
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<u16>,
    /// It gets `svix-` headers beside the `webhook-` ones
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    svix_headers: bool,
    /// It gets what sources received as it came
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_as: Option<DeliverAsWire>,
    /// The only headers of received requests that it gets
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_headers: Option<Vec<String>>,
    created_at: String,
    updated_at: String,
}

/// In which form an endpoint gets what a source received
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DeliverAsWire {
    Message,
    Request,
}

impl From<domain::DeliverAs> for DeliverAsWire {
    fn from(form: domain::DeliverAs) -> Self {
        match form {
            domain::DeliverAs::Message => Self::Message,
            domain::DeliverAs::Request => Self::Request,
        }
    }
}

impl From<EndpointIn> for EndpointInput {
    fn from(body: EndpointIn) -> Self {
        Self {
            url: body.url,
            uid: body.uid,
            description: body.description,
            disabled: body.disabled,
            event_types: body.event_types.or(body.filter_types),
            channels: body.channels,
            throttle_rate: body.throttle_rate,
            tuning: TuningInput {
                retry_schedule: body.retry_schedule,
                timeout_seconds: body.timeout_seconds,
                max_concurrency: body.max_concurrency,
                svix_headers: body.svix_headers,
                deliver_as: body.deliver_as,
                forward_headers: body.forward_headers,
            },
            metadata: body.metadata,
            secret: SecretInput {
                key: body.secret,
                signature: body.signature,
            },
            headers: body.headers.unwrap_or_default(),
        }
    }
}

impl From<EndpointUpdate> for EndpointInput {
    fn from(body: EndpointUpdate) -> Self {
        Self {
            url: body.url,
            uid: body.uid,
            description: body.description,
            disabled: body.disabled,
            event_types: body.event_types.or(body.filter_types),
            channels: body.channels,
            throttle_rate: body.throttle_rate,
            tuning: TuningInput {
                retry_schedule: body.retry_schedule,
                timeout_seconds: body.timeout_seconds,
                max_concurrency: body.max_concurrency,
                svix_headers: body.svix_headers,
                deliver_as: body.deliver_as,
                forward_headers: body.forward_headers,
            },
            metadata: body.metadata,
            ..Self::default()
        }
    }
}

impl From<EndpointPatchIn> for EndpointPatch {
    fn from(body: EndpointPatchIn) -> Self {
        Self {
            url: body.url,
            uid: body.uid,
            description: body.description,
            disabled: body.disabled,
            event_types: body.event_types.or(body.filter_types),
            channels: body.channels,
            throttle_rate: body.throttle_rate,
            tuning: TuningInput {
                retry_schedule: body.retry_schedule,
                timeout_seconds: body.timeout_seconds,
                max_concurrency: body.max_concurrency,
                svix_headers: body.svix_headers,
                deliver_as: body.deliver_as,
                forward_headers: body.forward_headers,
            },
            metadata: body.metadata,
        }
    }
}

fn texts<T: ToString>(names: Option<Vec<T>>) -> Option<Vec<String>> {
    names.map(|names| names.iter().map(T::to_string).collect())
}

impl From<Endpoint> for EndpointCommon {
    fn from(endpoint: Endpoint) -> Self {
        let event_types = texts(endpoint.subscription.event_types);
        let schedule = endpoint.tuning.retry_schedule.as_ref();
        let form = endpoint.tuning.deliver_as;
        let waits =
            schedule.map(|schedule| schedule.waits().iter().map(Duration::as_secs).collect());
        Self {
            id: endpoint.id.to_string(),
            uid: endpoint.uid.map(|uid| uid.to_string()),
            url: endpoint.url.as_str().to_owned(),
            description: endpoint.description,
            disabled: endpoint.disabled.is_some(),
            disabled_reason: endpoint.disabled.map(domain::DisabledReason::slug),
            disabled_at: endpoint.disabled_at.map(|at| at.to_string()),
            failing_since: endpoint.failing_since.map(|at| at.to_string()),
            paused: endpoint.paused,
            filter_types: event_types.clone(),
            event_types,
            channels: texts(endpoint.subscription.channels),
            throttle_rate: endpoint.throttle_rate,
            retry_schedule: waits,
            timeout_seconds: endpoint.tuning.timeout.map(|timeout| timeout.as_secs()),
            max_concurrency: endpoint.tuning.concurrency,
            svix_headers: endpoint.tuning.svix_headers,
            deliver_as: (form != domain::DeliverAs::default()).then(|| form.into()),
            forward_headers: endpoint
                .tuning
                .forward_headers
                .map(|filter| filter.names().map(str::to_owned).collect()),
            created_at: endpoint.created.to_string(),
            updated_at: endpoint.updated.to_string(),
        }
    }
}

impl From<Endpoint> for EndpointOut {
    fn from(mut endpoint: Endpoint) -> Self {
        Self {
            metadata: std::mem::take(&mut endpoint.metadata),
            common: endpoint.into(),
        }
    }
}

/// Returns the name under which the filter by event type was given.
fn types_field<T>(newer: Option<&T>, older: Option<&T>) -> &'static str {
    if newer.is_none() && older.is_some() {
        "filterTypes"
    } else {
        "eventTypes"
    }
}

/// Names the filter by event type in faults as the caller did.
fn named(types_field: &str, mut error: service::Error) -> service::Error {
    if let service::Error::Invalid(faults) = &mut error {
        let places = faults.iter_mut().filter_map(|fault| fault.loc.first_mut());
        for place in places.filter(|place| *place == "eventTypes") {
            types_field.clone_into(place);
        }
    }
    error
}

async fn list(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(page): Query<PageQuery>,
    Query(order): Query<OrderQuery>,
) -> Result<Found<ListResponse<EndpointOut>>, ApiError> {
    // Newest first, as clients of this API know it.
    let request = page.request::<EndpointId>(order.or(Order::Descending))?;
    let found = service
        .endpoints(access.caller, &path.application()?, request.clone())
        .await?;
    let list = ListResponse::new(&request, found, |item| item.id, EndpointOut::from);
    Ok(Answer(list))
}

async fn create(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<EndpointIn>,
) -> Result<Created<EndpointOut>, ApiError> {
    let application = path.application()?;
    let given = body.parse::<EndpointIn>()?;
    let types = types_field(given.event_types.as_ref(), given.filter_types.as_ref());
    let idempotency = body.idempotency(&service, access)?;
    let created = service
        .create_endpoint(access.caller, &application, given.into(), idempotency)
        .await
        .map_err(|error| named(types, error))?;
    Ok(Answer(created.into()))
}

async fn get(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
) -> Result<Found<EndpointOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let found = service
        .endpoint(access.caller, &application, &endpoint)
        .await?;
    Ok(Answer(found.into()))
}

async fn put(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<EndpointUpdate>,
) -> Result<Upserted<EndpointOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let given = body.parse::<EndpointUpdate>()?;
    let types = types_field(given.event_types.as_ref(), given.filter_types.as_ref());
    let put = service
        .put_endpoint(access.caller, &application, &endpoint, given.into())
        .await
        .map_err(|error| named(types, error))?;
    Ok(Upserted::from(put, EndpointOut::from))
}

async fn patch(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<EndpointPatchIn>,
) -> Result<Found<EndpointOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let given = body.parse::<EndpointPatchIn>()?;
    let types = types_field(given.event_types.as_ref(), given.filter_types.as_ref());
    let patched = service
        .patch_endpoint(access.caller, &application, &endpoint, given.into())
        .await
        .map_err(|error| named(types, error))?;
    Ok(Answer(patched.into()))
}

async fn delete(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
) -> Result<NoContent, ApiError> {
    let (application, endpoint) = path.parse()?;
    service
        .delete_endpoint(access.caller, &application, &endpoint)
        .await?;
    Ok(NoContent)
}

async fn pause(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: NoBody,
) -> Result<Found<EndpointOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let key = body.idempotency(&service, access)?;
    let pause = service.pause_endpoint(access.caller, &application, &endpoint, true);
    let today = service.endpoint(access.caller, &application, &endpoint);
    Ok(Answer(service.once(key, pause, today).await?.into()))
}

async fn unpause(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: NoBody,
) -> Result<Found<EndpointOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let key = body.idempotency(&service, access)?;
    let unpause = service.pause_endpoint(access.caller, &application, &endpoint, false);
    let today = service.endpoint(access.caller, &application, &endpoint);
    Ok(Answer(service.once(key, unpause, today).await?.into()))
}

//! Trying things out: an example message to one endpoint, and whether a message would go anywhere.

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use domain::{Channel, EventType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::{ExampleInput, Service};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, AppPath, Body, EndpointPath, Parsed, Path};
use crate::messages::MessageOut;
use crate::openapi::Docs;

pub(crate) fn routes() -> ApiRouter<Service> {
    let example_docs = Docs("Endpoint").post(
        "v1.endpoint.send-example",
        "Send the example of an event type to an endpoint",
    );
    let precheck_docs = Docs("Message").post(
        "v1.message.precheck",
        "Ask whether a message would go to any endpoint",
    );
    ApiRouter::new()
        .api_route(
            "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example",
            post_with(send, example_docs),
        )
        .api_route(
            "/api/v1/app/{app_id}/msg/precheck/active",
            post_with(precheck, precheck_docs),
        )
}

/// Whose example to send.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventExampleIn<'a> {
    /// The event type's name
    event_type: String,
    /// Which of the schema's examples to send, counted from 0; without a list of them it says
    /// nothing
    example_index: Option<u32>,
    /// What to send in place of an example; not for portal tokens
    #[serde(borrow)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    payload: Option<&'a RawValue>,
}

/// What a message would say of itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MessagePrecheckIn {
    event_type: Parsed<EventType>,
    channels: Option<Vec<Parsed<Channel>>>,
}

/// Whether it would go anywhere.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct MessagePrecheckOut {
    active: bool,
}

async fn send(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<EndpointPath>,
    body: Body<EventExampleIn<'_>>,
) -> Result<Found<MessageOut>, ApiError> {
    let (application, endpoint) = path.parse()?;
    let example = body.parse::<EventExampleIn<'_>>()?;
    let idempotency = body.idempotency(&service, access)?;
    let input = ExampleInput {
        event_type: &example.event_type,
        index: example.example_index.unwrap_or_default(),
        payload: example.payload.map(RawValue::get),
    };
    let sent = service
        .send_example(access.caller, &application, &endpoint, input, idempotency)
        .await?;
    Ok(Answer(MessageOut::of_row(sent, true)))
}

/// Changes nothing, so the idempotency key needs no looking at.
async fn precheck(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    body: Body<MessagePrecheckIn>,
) -> Result<Found<MessagePrecheckOut>, ApiError> {
    let application = path.application()?;
    let given = body.parse::<MessagePrecheckIn>()?;
    let Parsed(event_type) = given.event_type;
    let channels = given.channels.into_iter().flatten();
    let channels: Vec<_> = channels.map(|Parsed(channel)| channel).collect();
    let active = service
        .has_destination(access.caller, &application, &event_type, &channels)
        .await?;
    Ok(Answer(MessagePrecheckOut { active }))
}

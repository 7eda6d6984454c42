//! `/api/v1/provider`: the providers that are known by name.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use schemars::JsonSchema;
use serde::Serialize;
use service::scheme::{Handshake, Preset, preset, presets};

use crate::answer::{Answer, Found};
use crate::error::ApiError;
use crate::extract::{Access, Path, ProviderPath};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Provider");

pub(crate) fn routes() -> ApiRouter<service::Service> {
    ApiRouter::new()
        .api_route(
            "/api/v1/provider",
            get_with(list, DOCS.op("v1.provider.list", "List providers")),
        )
        .api_route(
            "/api/v1/provider/{provider_name}",
            get_with(get, DOCS.op("v1.provider.get", "Get a provider")),
        )
}

/// Every provider, in one piece.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderList {
    data: Vec<ProviderOut>,
    /// Always true
    done: bool,
    /// Always null
    iterator: Option<String>,
}

/// A provider that is known by name.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderOut {
    name: String,
    title: String,
    /// What its scheme rests on
    confirmation: String,
    /// Nothing of the provider's own stands behind its scheme
    unconfirmed: bool,
    /// What the secret is, and where it is found
    secret: String,
    /// How to set it up at the provider
    setup: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    notes: String,
    /// What signatures are made with
    algorithm: String,
    /// How far a timestamp may be from the clock, in seconds, where one is sent and checked
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance_seconds: Option<u32>,
    /// Where ids to deduplicate by are, the best first
    ids: Vec<String>,
    /// Where the event type is
    event: Vec<String>,
    /// The questions that the provider asks
    handshakes: Vec<String>,
    /// One request may be many messages
    split: bool,
    /// A page about it
    docs: String,
}

impl From<&Preset> for ProviderOut {
    fn from(preset: &Preset) -> Self {
        let scheme = &preset.scheme;
        let tolerance = scheme.timestamp().and_then(|rule| rule.tolerance);
        Self {
            name: preset.name.clone(),
            title: preset.title.clone(),
            confirmation: preset.confirmation.title().to_owned(),
            unconfirmed: preset.confirmation.is_unconfirmed(),
            secret: preset.secret.clone(),
            setup: preset.setup.clone(),
            notes: preset.notes.clone(),
            algorithm: scheme.algorithm().title().to_owned(),
            tolerance_seconds: tolerance,
            ids: scheme.ids().iter().map(ToString::to_string).collect(),
            event: scheme.event().iter().map(ToString::to_string).collect(),
            handshakes: preset.handshakes.iter().map(Handshake::title).collect(),
            split: preset.split,
            docs: format!("/docs/reference/providers#{}", preset.name),
        }
    }
}

async fn list(_: Access) -> Found<ProviderList> {
    Answer(ProviderList {
        data: presets().iter().map(ProviderOut::from).collect(),
        done: true,
        iterator: None,
    })
}

async fn get(_: Access, Path(path): Path<ProviderPath>) -> Result<Found<ProviderOut>, ApiError> {
    let found = preset(path.name()).ok_or(service::Error::NotFound("provider"))?;
    Ok(Answer(found.into()))
}

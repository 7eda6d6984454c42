//! Sources on the wire.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::{
    Deduplication, EventTypeRule, OnConflict, ReplayGuard, ResponseRule, SourceInput,
    SourceSettings, SourceView, VerifyMode,
};

use crate::error::ApiError;

/// A source to create, or to replace one by.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceIn {
    name: String,
    uid: Option<String>,
    /// A provider of `GET /api/v1/provider`, or `custom` with a `scheme`
    provider: String,
    /// Secrets as the provider writes them. Replacing a source without this keeps what it has
    secrets: Option<Vec<String>>,
    /// How requests are signed, where the provider is `custom`
    #[schemars(with = "Option<Map<String, Value>>")]
    scheme: Option<Value>,
    /// The URL that the provider has been told, where it is not the source's own
    public_url: Option<String>,
    /// What a subscription of Meta's kind must bring as `hub.verify_token`. It is never shown
    #[serde(skip_serializing)]
    verify_token: Option<String>,
    /// What is kept of it
    #[serde(skip_serializing_if = "Option::is_none")]
    verify_token_hash: Option<String>,
    #[serde(default)]
    verify: VerifyWire,
    /// `none` is the same as `"verify": "none"`
    #[serde(skip_serializing)]
    verification: Option<VerifyWire>,
    /// How far a timestamp may be from the clock; 0 checks none; the provider's when left out
    tolerance_seconds: Option<u32>,
    /// At most `limits.inbound`, which is the default
    max_body_bytes: Option<usize>,
    /// Content types that are taken; all when left out
    content_types: Option<Vec<String>>,
    deduplication: Option<DeduplicationWire>,
    event_type: Option<EventTypeWire>,
    response: Option<ResponseWire>,
    /// Addresses and networks that requests may come from; all when left out
    allowed_ips: Option<Vec<String>>,
    requests_per_second: Option<u32>,
    metadata: Option<BTreeMap<String, String>>,
}

/// What is done about requests that do not verify
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum VerifyWire {
    /// They are refused
    #[default]
    Enforce,
    /// They are taken in, and marked
    Tag,
    /// Nothing is verified
    None,
}

/// How repeats are noticed
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeduplicationWire {
    /// Places of the id, such as `header:X-Id`, `json:data.id` or several joined by `+`; `body`
    /// is a hash of the body
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
    /// 259200 when left out
    #[serde(skip_serializing_if = "Option::is_none")]
    window_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<ConflictWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_guard: Option<GuardWire>,
}

/// What is done about a known id with another body
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ConflictWire {
    /// It is answered like the first, and marked
    Answer,
    /// It is refused with 409
    Refuse,
}

/// What is done about a known signature and body under an id that nothing proves
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum GuardWire {
    /// Nothing
    Off,
    /// It is taken in, and marked
    Flag,
    /// It is refused with 409
    Refuse,
}

/// What the event type of a message is made of
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeWire {
    /// Places whose texts are joined by full stops
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Vec<String>>,
    /// A text with places in braces, such as `github.{event}` or `cms.{json:action}`
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    /// Where the request does not say; `<provider>.received` when left out
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
}

/// What a request that was taken in is answered
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ResponseWire {
    /// 200 to 299; 200 when left out
    status: Option<u16>,
    /// `{id}` in it is the message's id
    #[serde(default)]
    body: String,
    /// `application/json` when left out
    content_type: Option<String>,
}

/// A source.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceOut {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    provider: String,
    /// Where the provider sends to
    url: String,
    state: SourceState,
    /// What there is of secrets; themselves they are not shown
    secrets: Vec<SourceSecretOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    scheme: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_url: Option<String>,
    /// Whether a verify token is set
    has_verify_token: bool,
    verify: VerifyWire,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_body_bytes: Option<usize>,
    content_types: Vec<String>,
    deduplication: DeduplicationWire,
    event_type: EventTypeWire,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseWire>,
    allowed_ips: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<u32>,
    metadata: BTreeMap<String, String>,
    activity: ActivityOut,
    created_at: String,
    updated_at: String,
}

/// Whether a source takes requests in
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SourceState {
    Live,
    Paused,
    /// The provider is to bring the secret
    AwaitingHandshake,
}

/// A secret of a source, without itself.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SourceSecretOut {
    number: i64,
    created_at: String,
    /// When it stops counting
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// What came in since the server started.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ActivityOut {
    accepted: u64,
    duplicates: u64,
    handshakes: u64,
    rejected: u64,
    /// Refused requests that were only counted
    not_kept: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_accepted_at: Option<String>,
}

impl SourceIn {
    pub(crate) fn into_input(self) -> SourceInput {
        let verify = match (self.verification, self.verify) {
            (Some(given), _) | (None, given) => given,
        };
        let verify_token = self.verify_token.filter(|token| !token.is_empty());
        let settings = SourceSettings {
            verify_token_hash: verify_token
                .map(|token| service::verify_token_hash(&token))
                .or(self.verify_token_hash),
            scheme: self.scheme,
            public_url: self.public_url,
            verify: verify.into(),
            tolerance_seconds: self.tolerance_seconds,
            max_body_bytes: self.max_body_bytes,
            content_types: self.content_types.unwrap_or_default(),
            deduplication: self.deduplication.unwrap_or_default().into(),
            event_type: self.event_type.unwrap_or_default().into(),
            response: self.response.map(ResponseRule::from),
            allowed_ips: self.allowed_ips.unwrap_or_default(),
            requests_per_second: self.requests_per_second,
            metadata: self.metadata.unwrap_or_default(),
        };
        SourceInput {
            name: self.name,
            uid: self.uid,
            provider: self.provider,
            secrets: self.secrets,
            settings,
        }
    }

    /// Describes a source as it is, without its secrets.
    pub(crate) fn from_view(view: &SourceView) -> Self {
        let settings = view.settings.clone();
        Self {
            name: view.source.name.clone(),
            uid: view.source.uid.as_ref().map(ToString::to_string),
            provider: view.source.provider.clone(),
            secrets: None,
            scheme: settings.scheme,
            public_url: settings.public_url,
            verify_token: None,
            verify_token_hash: settings.verify_token_hash,
            verify: settings.verify.into(),
            verification: None,
            tolerance_seconds: settings.tolerance_seconds,
            max_body_bytes: settings.max_body_bytes,
            content_types: Some(settings.content_types),
            deduplication: Some(settings.deduplication.into()),
            event_type: Some(settings.event_type.into()),
            response: settings.response.map(ResponseWire::from),
            allowed_ips: Some(settings.allowed_ips),
            requests_per_second: settings.requests_per_second,
            metadata: Some(settings.metadata),
        }
    }

    /// Applies a patch (RFC 7396) and writes the whole as JSON.
    pub(crate) fn merged(&self, patch: &Map<String, Value>) -> Result<Vec<u8>, ApiError> {
        let internal = |error: serde_json::Error| ApiError::Internal(error.to_string().into());
        let mut whole = serde_json::to_value(self).map_err(internal)?;
        merge(&mut whole, &Value::Object(patch.clone()));
        serde_json::to_vec(&whole).map_err(internal)
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else {
        return;
    };
    for (name, value) in patch {
        match value {
            Value::Null => {
                members.remove(name);
            }
            // A scheme is one thing: half of one with half of another means nothing.
            value if name == "scheme" => {
                members.insert(name.clone(), value.clone());
            }
            value => merge(members.entry(name).or_insert(Value::Null), value),
        }
    }
}

impl From<SourceView> for SourceOut {
    fn from(view: SourceView) -> Self {
        let wire = SourceIn::from_view(&view);
        let source = view.source;
        let state = if source.paused {
            SourceState::Paused
        } else if source.awaits_handshake.is_some() && source.secrets.is_empty() {
            SourceState::AwaitingHandshake
        } else {
            SourceState::Live
        };
        let secrets = source.secrets.iter().map(|secret| SourceSecretOut {
            number: secret.number,
            created_at: secret.created.to_string(),
            expires_at: secret.expires.map(|at| at.to_string()),
        });
        let seen = view.activity;
        Self {
            id: source.id.to_string(),
            name: wire.name,
            uid: wire.uid,
            provider: wire.provider,
            url: view.url,
            state,
            secrets: secrets.collect(),
            scheme: wire.scheme,
            public_url: wire.public_url,
            has_verify_token: wire.verify_token_hash.is_some(),
            verify: wire.verify,
            tolerance_seconds: wire.tolerance_seconds,
            max_body_bytes: wire.max_body_bytes,
            content_types: wire.content_types.unwrap_or_default(),
            deduplication: wire.deduplication.unwrap_or_default(),
            event_type: wire.event_type.unwrap_or_default(),
            response: wire.response,
            allowed_ips: wire.allowed_ips.unwrap_or_default(),
            requests_per_second: wire.requests_per_second,
            metadata: wire.metadata.unwrap_or_default(),
            activity: ActivityOut {
                accepted: seen.accepted,
                duplicates: seen.duplicates,
                handshakes: seen.handshakes,
                rejected: seen.rejected,
                not_kept: seen.not_kept,
                last_received_at: seen.last_received.map(|at| at.to_string()),
                last_accepted_at: seen.last_accepted.map(|at| at.to_string()),
            },
            created_at: source.created.to_string(),
            updated_at: source.updated.to_string(),
        }
    }
}

/// Makes the conversions between an enum of the wire and one of the service.
macro_rules! same {
    ($wire:ident, $ours:ident: $($name:ident),+) => {
        impl From<$wire> for $ours {
            fn from(wire: $wire) -> Self {
                match wire {
                    $($wire::$name => Self::$name),+
                }
            }
        }

        impl From<$ours> for $wire {
            fn from(ours: $ours) -> Self {
                match ours {
                    $($ours::$name => Self::$name),+
                }
            }
        }
    };
}

same!(VerifyWire, VerifyMode: Enforce, Tag, None);
same!(ConflictWire, OnConflict: Answer, Refuse);
same!(GuardWire, ReplayGuard: Off, Flag, Refuse);

impl From<DeduplicationWire> for Deduplication {
    fn from(wire: DeduplicationWire) -> Self {
        Self {
            keys: wire.keys,
            window_seconds: wire.window_seconds,
            conflict: wire.conflict.map(Into::into),
            replay_guard: wire.replay_guard.map(Into::into),
        }
    }
}

impl From<Deduplication> for DeduplicationWire {
    fn from(ours: Deduplication) -> Self {
        Self {
            keys: ours.keys,
            window_seconds: ours.window_seconds,
            conflict: ours.conflict.map(Into::into),
            replay_guard: ours.replay_guard.map(Into::into),
        }
    }
}

impl From<EventTypeWire> for EventTypeRule {
    fn from(wire: EventTypeWire) -> Self {
        Self {
            from: wire.from,
            template: wire.template,
            fallback: wire.fallback,
        }
    }
}

impl From<EventTypeRule> for EventTypeWire {
    fn from(ours: EventTypeRule) -> Self {
        Self {
            from: ours.from,
            template: ours.template,
            fallback: ours.fallback,
        }
    }
}

impl From<ResponseWire> for ResponseRule {
    fn from(wire: ResponseWire) -> Self {
        let json = || "application/json".to_owned();
        Self {
            status: wire.status.unwrap_or(200),
            body: wire.body,
            content_type: wire.content_type.unwrap_or_else(json),
        }
    }
}

impl From<ResponseRule> for ResponseWire {
    fn from(ours: ResponseRule) -> Self {
        Self {
            status: Some(ours.status),
            body: ours.body,
            content_type: Some(ours.content_type),
        }
    }
}

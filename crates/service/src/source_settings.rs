//! What a source is set to: read, checked, and made ready for use.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Cidr, EventType, Limits};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signature::scheme::{Handshake, Location, Preset, Scheme, preset};

use crate::fields::Fields;

/// The provider of a source that has a scheme of its own.
pub const CUSTOM: &str = "custom";

/// The provider of a source that receives CloudEvents.
const CLOUD_EVENTS: &str = "cloudevents";

/// Everything about a source but its names and its secrets. Stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceSettings {
    /// How requests are signed, where `provider` is `custom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Value>,
    /// The URL that the provider has been told, where it is another than the source's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// The SHA-256, in hex, of the verify token that a subscription of Meta's kind must bring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_token_hash: Option<String>,
    /// What is done about requests that do not verify.
    pub verify: VerifyMode,
    /// How far a timestamp may be from the clock; 0 checks none. The preset's when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance_seconds: Option<u32>,
    /// The most bytes of a body; the server's limit when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<usize>,
    /// Content types that are taken; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub content_types: Vec<String>,
    /// How repeats are noticed.
    pub deduplication: Deduplication,
    /// What the event type is made of.
    pub event_type: EventTypeRule,
    /// What an accepted request is answered; the preset's answer when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseRule>,
    /// Addresses and networks that requests may come from; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_ips: Vec<String>,
    /// Requests per second; no limit when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Whatever the caller keeps here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What is done about requests that do not verify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyMode {
    /// They are refused.
    #[default]
    Enforce,
    /// They are taken in and marked as unverified.
    Tag,
    /// Nothing is verified: everything is taken in and marked as unverified.
    None,
}

/// How repeats are noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deduplication {
    /// Places of the id, the best first; several joined by `+` are one id, and `body` is a hash
    /// of the body. The preset's when not set; an empty list deduplicates nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// For how long repeats are noticed; three days when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u32>,
    /// What is done about a known id with another body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<OnConflict>,
    /// What is done about a known signature and body under a new id that nothing proves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_guard: Option<ReplayGuard>,
}

/// What is done about a known id with another body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It is answered like the first, and marked.
    Answer,
    /// It is refused.
    Refuse,
}

/// What is done about a replay under another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayGuard {
    /// Nothing.
    Off,
    /// It is taken in, and marked.
    Flag,
    /// It is refused.
    Refuse,
}

/// What the event type of a received message is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventTypeRule {
    /// Places whose texts are joined by full stops; the preset's when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<String>>,
    /// A text with places in braces, such as `github.{header:X-GitHub-Event}`; `{event}` is what
    /// it would be without. Goes before `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What it is where the request does not say; the provider's name and `.received` if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// What an accepted request is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseRule {
    /// The status, 200 to 299.
    #[serde(default = "ok")]
    pub status: u16,
    /// The body; `{id}` in it is the message's id.
    #[serde(default)]
    pub body: String,
    /// The body's content type.
    #[serde(default = "json")]
    pub content_type: String,
}

const fn ok() -> u16 {
    200
}

fn json() -> String {
    "application/json".to_owned()
}

/// Settings, ready for use.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) preset: Option<&'static Preset>,
    pub(crate) scheme: Scheme,
    /// Where ids are, if not where the scheme says.
    pub(crate) keys: Option<Vec<KeyRule>>,
    pub(crate) event: EventRule,
    pub(crate) allowed: Vec<Cidr>,
    pub(crate) window: Duration,
    pub(crate) refuses_conflicts: bool,
    pub(crate) guard: ReplayGuard,
    pub(crate) body_max: usize,
    pub(crate) response: ResponseRule,
    /// The SHA-256 of the verify token.
    pub(crate) verify_token: Option<[u8; 32]>,
}

/// What makes an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// The texts at these places together.
    Places(Vec<Location>),
    /// A hash of the body.
    Body,
}

/// What makes an event type.
#[derive(Debug)]
pub(crate) struct EventRule {
    /// Places, if not those of the scheme.
    pub(crate) from: Option<Vec<Location>>,
    pub(crate) template: Option<Vec<Piece>>,
    pub(crate) fallback: EventType,
}

/// Returns what is stored of a verify token: it is compared, and never needed again.
pub fn verify_token_hash(token: &str) -> String {
    let hash = crate::keys::hash_of(token.as_bytes());
    let bytes = hash.iter();
    bytes.fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn hash_of_hex(hex: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = hex.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Place(Location),
    /// The event type without a template.
    Event,
}

/// How long repeats are noticed when nobody says: providers retry for up to three days.
const WINDOW: Duration = Duration::from_hours(72);
/// The most places, content types or addresses that a source names.
const ITEMS_MAX: usize = 64;
/// The most bytes of an answer, a template or a scheme.
const TEXT_MAX: usize = 16 * 1024;

impl Plan {
    /// Checks settings and makes them ready; `None` where a scheme is not one.
    pub(crate) fn new(
        provider: &str,
        settings: &SourceSettings,
        limits: &Limits,
        fields: &mut Fields,
    ) -> Option<Self> {
        let preset = preset(provider);
        if preset.is_none() && provider != CUSTOM {
            fields.fault(
                &["provider"],
                "is no provider that is known by name; `GET /api/v1/provider` lists them, and \
                 `custom` has a `scheme` of its own",
            );
        }
        let scheme = scheme(preset, settings, fields);
        let public_url = settings.public_url.as_deref();
        let is_url = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if public_url.is_some_and(|url| !is_url(url) || url.len() > limits.url_chars) {
            fields.fault(
                &["publicUrl"],
                "must be a URL that begins with https:// or http://",
            );
        }
        let body_max = settings.max_body_bytes.unwrap_or(limits.inbound_bytes);
        if body_max == 0 || body_max > limits.inbound_bytes {
            let max = limits.inbound_bytes;
            fields.fault(&["maxBodyBytes"], format!("must be between 1 and {max}"));
        }
        if settings.requests_per_second == Some(0) {
            fields.fault(&["requestsPerSecond"], "must be at least 1");
        }
        let verify_token = settings.verify_token_hash.as_deref().map(hash_of_hex);
        if verify_token == Some(None) {
            fields.fault(&["verifyTokenHash"], "is no SHA-256 in hex");
        }
        fields.metadata(&settings.metadata, limits);
        check_content_types(&settings.content_types, fields);
        let allowed = networks(&settings.allowed_ips, fields);
        let response = response(preset, settings, fields);
        let window = window(&settings.deduplication, limits, fields);
        let keys = keys(preset, &settings.deduplication, fields);
        let event = event_rule(provider, &settings.event_type, fields)?;
        let conflict = settings.deduplication.conflict;
        Some(Self {
            preset,
            scheme: scheme?,
            keys,
            event,
            allowed,
            window,
            // Only its specification says that an id has one body.
            refuses_conflicts: conflict.map_or(provider == "standard-webhooks", |conflict| {
                conflict == OnConflict::Refuse
            }),
            guard: settings
                .deduplication
                .replay_guard
                .unwrap_or(ReplayGuard::Flag),
            body_max,
            response,
            verify_token: verify_token.flatten(),
        })
    }

    /// Says whether the provider itself brings the secret.
    pub(crate) fn is_keyed_by_handshake(&self) -> bool {
        let handshakes = self.preset.map_or(&[][..], |preset| &preset.handshakes);
        let keyed =
            |one: &Handshake| matches!(one, Handshake::VerificationToken | Handshake::HookSecret);
        handshakes.iter().any(keyed)
    }

    /// Says whether requests hold CloudEvents.
    pub(crate) fn reads_events(&self) -> bool {
        self.preset
            .is_some_and(|preset| preset.name == CLOUD_EVENTS)
    }

    /// Says whether the body is an array of messages.
    pub(crate) fn splits(&self) -> bool {
        self.preset.is_some_and(|preset| preset.split)
    }
}

fn scheme(
    preset: Option<&'static Preset>,
    settings: &SourceSettings,
    fields: &mut Fields,
) -> Option<Scheme> {
    let scheme = match (preset, &settings.scheme) {
        (Some(preset), None) => preset.scheme.clone(),
        (Some(_), Some(_)) => {
            fields.fault(&["scheme"], "goes with the provider `custom` only");
            return None;
        }
        (None, Some(written)) => {
            let text = written.to_string();
            if text.len() > TEXT_MAX {
                fields.fault(&["scheme"], format!("has more than {TEXT_MAX} bytes"));
                return None;
            }
            fields.take(&["scheme"], Scheme::parse(&text))?
        }
        (None, None) => {
            if settings.verify == VerifyMode::None {
                // Nothing is verified by it; it only says where an event type may be.
                return signature::scheme::preset("token").map(|preset| preset.scheme.clone());
            }
            fields.fault(&["scheme"], "is needed where the provider is `custom`");
            return None;
        }
    };
    Some(match settings.tolerance_seconds {
        None => scheme,
        Some(0) => scheme.with_tolerance(None),
        Some(seconds) => scheme.with_tolerance(Some(seconds)),
    })
}

fn check_content_types(given: &[String], fields: &mut Fields) {
    fields.names("contentTypes", given, ITEMS_MAX, |text| {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b';';
        match text.split_once('/') {
            Some((kind, rest)) if !kind.is_empty() && !rest.is_empty() => text
                .bytes()
                .all(plain)
                .then(|| text.to_owned())
                .ok_or("is not a content type without parameters"),
            _ => Err("is not a content type, such as application/json"),
        }
    });
}

fn networks(given: &[String], fields: &mut Fields) -> Vec<Cidr> {
    fields.names("allowedIps", given, ITEMS_MAX, |text| {
        text.parse::<Cidr>()
            .map_err(|_| "is not an address or a network such as 192.0.2.0/24")
    })
}

fn response(
    preset: Option<&'static Preset>,
    settings: &SourceSettings,
    fields: &mut Fields,
) -> ResponseRule {
    let Some(given) = &settings.response else {
        return wanted_by(preset);
    };
    if !(200..=299).contains(&given.status) {
        fields.fault(&["response", "status"], "must be between 200 and 299");
    }
    if given.body.len() > TEXT_MAX {
        let msg = format!("has more than {TEXT_MAX} bytes");
        fields.fault(&["response", "body"], msg);
    }
    let visible = given
        .content_type
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~'));
    if !visible || !given.content_type.contains('/') {
        fields.fault(&["response", "contentType"], "is not a content type");
    }
    given.clone()
}

/// The answer that a provider wants; `{"id": …}` where it does not look.
fn wanted_by(preset: Option<&'static Preset>) -> ResponseRule {
    let answer = |status, body: &str, content_type: &str| ResponseRule {
        status,
        body: body.to_owned(),
        content_type: content_type.to_owned(),
    };
    match preset.map(|preset| preset.name.as_str()) {
        // An empty document tells it to do nothing; other texts are read out or sent.
        Some("twilio") => answer(200, "<Response/>", "text/xml"),
        // What a slash command is answered is shown to people.
        Some("slack") => answer(200, "", "text/plain"),
        Some("discord") => answer(204, "", "application/json"),
        Some("adyen" | "adyen-payments") => answer(200, "[accepted]", "text/plain"),
        _ => answer(200, r#"{"id":"{id}"}"#, "application/json"),
    }
}

fn window(given: &Deduplication, limits: &Limits, fields: &mut Fields) -> Duration {
    let Some(seconds) = given.window_seconds else {
        return WINDOW.min(limits.deduplication_window);
    };
    let window = Duration::from_secs(seconds.into());
    if window.is_zero() || window > limits.deduplication_window {
        let max = limits.deduplication_window.as_secs();
        let msg = format!("must be between 1 and {max}");
        fields.fault(&["deduplication", "windowSeconds"], msg);
    }
    window
}

/// What names an event where no single place does.
fn usual_keys(preset: Option<&'static Preset>) -> Option<Vec<KeyRule>> {
    match preset.map(|preset| preset.name.as_str()) {
        // What becomes of a payment has the payment's own reference each time.
        Some("adyen-payments") => {
            let place = |field: &str| {
                Location::Json(format!(
                    "notificationItems.0.NotificationRequestItem.{field}"
                ))
            };
            let places = ["pspReference", "eventCode", "success"].map(place);
            Some(vec![KeyRule::Places(places.into())])
        }
        _ => None,
    }
}

fn keys(
    preset: Option<&'static Preset>,
    given: &Deduplication,
    fields: &mut Fields,
) -> Option<Vec<KeyRule>> {
    let Some(given) = given.keys.as_ref() else {
        return usual_keys(preset);
    };
    let mut rules = Vec::new();
    for (index, text) in given.iter().enumerate().take(ITEMS_MAX) {
        if text == "body" {
            rules.push(KeyRule::Body);
            continue;
        }
        let places = text
            .split('+')
            .map(|one| Location::try_from(one.trim().to_owned()));
        let place = ["deduplication", "keys", &index.to_string()];
        let parsed = fields.take(&place, places.collect::<Result<Vec<_>, _>>());
        rules.extend(parsed.map(KeyRule::Places));
    }
    if given.len() > ITEMS_MAX {
        let msg = format!("has {} items; at most {ITEMS_MAX} are allowed", given.len());
        fields.fault(&["deduplication", "keys"], msg);
    }
    Some(rules)
}

fn event_rule(provider: &str, given: &EventTypeRule, fields: &mut Fields) -> Option<EventRule> {
    let from = given.from.as_ref().map(|places| {
        let mut found = Vec::new();
        for (index, text) in places.iter().enumerate().take(ITEMS_MAX) {
            let place = ["eventType", "from", &index.to_string()];
            found.extend(fields.take(&place, Location::try_from(text.clone())));
        }
        found
    });
    let template = given.template.as_deref();
    let template = template.and_then(|text| fields.take(&["eventType", "template"], pieces(text)));
    let fallback = match &given.fallback {
        Some(text) => text.clone(),
        None => format!("{provider}.received"),
    };
    let fallback = fields.take(&["eventType", "fallback"], EventType::parse(&fallback))?;
    Some(EventRule {
        from,
        template,
        fallback,
    })
}

/// Splits a template into its texts and places.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    const LEN_MAX: usize = 1_024;
    if text.len() > LEN_MAX {
        return Err(format!("has more than {LEN_MAX} bytes"));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("has a `{` without its `}`")?;
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(match name {
            "event" => Piece::Event,
            _ => Piece::Place(
                Location::try_from(name.to_owned()).map_err(|error| error.to_string())?,
            ),
        });
        rest = after;
    }
    if rest.contains('}') {
        return Err("has a `}` without its `{`".to_owned());
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_texts_and_places() {
        assert_eq!(
            pieces("github.{header:X-GitHub-Event}.{event}"),
            Ok(vec![
                Piece::Text("github.".into()),
                Piece::Place(Location::Header("X-GitHub-Event".into())),
                Piece::Text(".".into()),
                Piece::Event,
            ])
        );
        for bad in ["{event", "event}", "{nowhere:x}", "{}"] {
            assert!(pieces(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_preset_has_settings_that_hold() {
        for preset in signature::scheme::presets() {
            let mut fields = Fields::default();
            let settings = SourceSettings::default();
            let plan = Plan::new(&preset.name, &settings, &Limits::default(), &mut fields);

            assert!(plan.is_some(), "{}", preset.name);
            assert_eq!(fields.check(), Ok(()), "{}", preset.name);
        }
    }
}

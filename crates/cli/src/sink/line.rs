//! How a request is shown: a line for a person, a line of JSON for a program.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::server::{Received, Verdict};
use crate::text::shown;

/// How many characters of a body, an id, and a path a line has room for.
const EXCERPT_MAX: usize = 100;
const ID_MAX: usize = 40;
const PATH_MAX: usize = 60;

/// A line for a person: time, answer, signature, id, type, path, the body's beginning.
///
/// Nothing in it rests on colour, and nothing that a sender sent moves the cursor.
pub(super) fn readable(received: &Received) -> String {
    let time = received.at.to_string();
    // The date is today; thousandths are as fine as a reader's eye.
    let time = time.get(11..23).unwrap_or(&time);
    let status = match received.status {
        Some(status) => status.as_str().to_owned(),
        None => "---".to_owned(),
    };
    let verdict = match received.verdict {
        Verdict::Unchecked => "unchecked ".to_owned(),
        Verdict::Verified => "✓ verified".to_owned(),
        Verdict::Refused(why) => format!("✗ {why}"),
    };
    let repeat = match received.seen {
        0 | 1 => String::new(),
        seen => format!(" (repeat {})", seen - 1),
    };
    let id = shown(received.header("webhook-id").unwrap_or("-"), ID_MAX);
    let event_type = event_type(&received.body).unwrap_or_else(|| "-".to_owned());
    let path = shown(received.uri.path(), PATH_MAX);
    let body = shown(&String::from_utf8_lossy(&received.body), EXCERPT_MAX);
    format!("{time}  {status}  {verdict}  {id}{repeat}  {event_type}  {path}  {body}")
}

/// A line of JSON. `headers` and `body` (base64) are what a verifier needs.
pub(super) fn json(received: &Received) -> String {
    let mut headers = Map::new();
    for name in received.headers.keys() {
        let values = received.headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let joined = values.collect::<Vec<_>>().join(", ");
        headers.insert(name.as_str().to_owned(), Value::String(joined));
    }
    let (verified, reason) = match received.verdict {
        Verdict::Unchecked => (Value::Null, Value::Null),
        Verdict::Verified => (Value::Bool(true), Value::Null),
        Verdict::Refused(why) => (Value::Bool(false), Value::String(why.to_string())),
    };
    json!({
        "at": received.at.to_string(),
        "method": received.method.as_str(),
        "path": received.uri.to_string(),
        "headers": headers,
        "body": STANDARD.encode(&received.body),
        "webhookId": received.header("webhook-id"),
        "eventType": event_type(&received.body),
        "verified": verified,
        "reason": reason,
        "status": received.status.map(|status| status.as_u16()),
        "seen": received.seen,
    })
    .to_string()
}

/// The `type` of a body that is a JSON object with one.
fn event_type(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let typed: Typed = serde_json::from_slice(body).ok()?;
    Some(shown(&typed.r#type, ID_MAX))
}

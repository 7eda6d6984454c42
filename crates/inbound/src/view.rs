//! Requests as data: what flows, filters and templates see of them.
//!
//! The bytes stay what they are; this is a view of them, made when somebody wants to look. A body
//! is read as what its content type says: JSON, a form, multipart, XML or text. What cannot be read
//! so is text if it is UTF-8, and binary otherwise; nothing is refused and nothing panics.
//!
//! The work is bounded by the `*_MAX` below. A body beyond them is shown as text or binary, so a
//! request never costs more than its own size.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use signature::scheme::Request;

mod multipart;
mod xml;

pub use multipart::{PART_SHOWN_MAX, PARTS_MAX};
pub use xml::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX};

/// The longest body that is taken apart; a longer one is text or binary.
pub const PARSED_MAX: usize = 1 << 20;
/// The most fields of a form, and the most parameters of a query.
pub const FIELDS_MAX: usize = 1_000;
/// The most bytes of a body that is neither parsed nor text which are shown, as base64.
pub const BINARY_SHOWN_MAX: usize = 64 << 10;

/// What a body was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is none.
    Empty,
    /// JSON; the value is what it says.
    Json,
    /// A form; the value is an object of texts, and of arrays of texts where a name comes again.
    Form,
    /// Multipart; the value is an object of fields. A file is an object with `filename`,
    /// `contentType`, `size` and, if it is small, `base64`.
    Multipart,
    /// XML; the value has the root element by its name. An element is its text if it has nothing
    /// else; otherwise an object of its children by name, of `@name` for each attribute, and
    /// `#text`.
    Xml,
    /// Text; the value is the text.
    Text,
    /// Anything else; the value is an object with `size` and, if it is small, `base64`.
    Binary,
}

impl Kind {
    /// The name that stands in a view.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Json => "json",
            Self::Form => "form",
            Self::Multipart => "multipart",
            Self::Xml => "xml",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }
}

/// A body as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// What it was read as.
    pub kind: Kind,
    /// What it says.
    pub value: Value,
}

/// Returns everything of a request: `method`, `path`, `query`, `headers`, `body`, `bodyKind`.
///
/// Header names are in lower case; a header or parameter that comes again is joined: headers by a
/// comma, as HTTP has it, parameters into an array. `path_and_query` is that of the request.
pub fn view(request: &Request<'_>, path_and_query: &str) -> Value {
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in request.headers {
        let text = String::from_utf8_lossy(value);
        headers
            .entry(name.to_ascii_lowercase())
            .and_modify(|known| {
                known.push_str(", ");
                known.push_str(&text);
            })
            .or_insert_with(|| text.into_owned());
    }
    let body = body(
        headers.get("content-type").map(String::as_str),
        request.body,
    );
    json!({
        "method": request.method,
        "path": path,
        "query": pairs(query.as_bytes()).unwrap_or_else(|| Value::from(query)),
        "headers": headers,
        "body": body.value,
        "bodyKind": body.kind.as_str(),
    })
}

/// Reads a body as what its content type says it is, or as what it looks like if that is nothing.
pub fn body(content_type: Option<&str>, bytes: &[u8]) -> Body {
    if bytes.is_empty() {
        return Body {
            kind: Kind::Empty,
            value: Value::Null,
        };
    }
    let parsed = (bytes.len() <= PARSED_MAX)
        .then(|| parsed(content_type, bytes))
        .flatten();
    parsed.unwrap_or_else(|| unparsed(bytes))
}

fn parsed(content_type: Option<&str>, bytes: &[u8]) -> Option<Body> {
    let content_type = content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let (kind, value) = match essence.as_str() {
        "application/x-www-form-urlencoded" => (Kind::Form, pairs(bytes)?),
        "application/xml" | "text/xml" => (Kind::Xml, xml::parse(bytes)?),
        other if other.ends_with("+xml") => (Kind::Xml, xml::parse(bytes)?),
        other if other.starts_with("multipart/") => {
            let boundary = multipart::boundary(content_type)?;
            (Kind::Multipart, multipart::parse(&boundary, bytes)?)
        }
        // Senders say `text/plain` of JSON, or nothing at all; a body that is JSON says so itself.
        // What says that it is some other text is not looked into.
        "" | "text/plain" | "application/octet-stream" => (Kind::Json, structure(bytes)?),
        other if other == "application/json" || other.ends_with("+json") => {
            (Kind::Json, serde_json::from_slice(bytes).ok()?)
        }
        _ => return None,
    };
    Some(Body { kind, value })
}

/// JSON that can be nothing else: an object or an array.
fn structure(bytes: &[u8]) -> Option<Value> {
    let begins = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
    begins.then(|| serde_json::from_slice(bytes).ok()).flatten()
}

fn unparsed(bytes: &[u8]) -> Body {
    if let Ok(text) = str::from_utf8(bytes)
        && !text.contains('\0')
    {
        return Body {
            kind: Kind::Text,
            value: Value::from(text),
        };
    }
    Body {
        kind: Kind::Binary,
        value: binary(bytes, BINARY_SHOWN_MAX),
    }
}

fn binary(bytes: &[u8], shown_max: usize) -> Value {
    let mut value = json!({"size": bytes.len()});
    if bytes.len() <= shown_max {
        value["base64"] = STANDARD.encode(bytes).into();
    }
    value
}

/// The fields of a form or a query; nothing where there are too many.
fn pairs(bytes: &[u8]) -> Option<Value> {
    let mut fields = Fields::default();
    for (index, (name, value)) in form_urlencoded::parse(bytes).enumerate() {
        if index == FIELDS_MAX {
            return None;
        }
        fields.add(&name, Value::from(value));
    }
    Some(fields.into_value())
}

/// Values by name; a name that comes again has them all.
#[derive(Default)]
struct Fields(BTreeMap<String, Vec<Value>>);

impl Fields {
    fn add(&mut self, name: &str, value: Value) {
        self.0.entry(name.to_owned()).or_default().push(value);
    }

    fn into_value(self) -> Value {
        let single = |mut values: Vec<Value>| match values.len() {
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        let members = self.0.into_iter();
        Value::Object(
            members
                .map(|(name, values)| (name, single(values)))
                .collect::<Map<_, _>>(),
        )
    }
}

#[cfg(test)]
mod tests;

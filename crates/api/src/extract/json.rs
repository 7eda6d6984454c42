//! JSON bodies: parsed once, and told exactly where they are wrong.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::error::ApiError;
use crate::problem::{Code, Fault};

/// Parses a whole body.
///
/// What is no JSON, or has a field twice, is 400: no field can be named. A field that is missing
/// or of another type is 422, with its place.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| malformed("The body is not UTF-8.".to_owned()))?;
    // Every body is an object. The parser would also take a list of an object's values.
    if text.trim_ascii_start().starts_with('[') {
        let msg = "must be an object, not a list";
        return Err(ApiError::Invalid(vec![Fault {
            loc: vec!["body".to_owned()],
            msg: msg.to_owned(),
            kind: Cow::Borrowed("type_error"),
        }]));
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data if !is_duplicate(&error) => invalid::<T>(text, &error),
        _ => malformed(format!("The body is not well-formed JSON: {error}.")),
    })
}

fn malformed(detail: String) -> ApiError {
    ApiError::Plain(Code::MalformedJson, detail.into())
}

fn is_duplicate(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("duplicate field")
}

/// Parses once more to find the place, which the first time would have cost every request.
fn invalid<'a, T: Deserialize<'a>>(text: &'a str, first: &serde_json::Error) -> ApiError {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (path, message) = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => (Vec::new(), first.to_string()),
        Err(error) => {
            let path = error.path().iter().filter_map(segment).collect();
            (path, error.into_inner().to_string())
        }
    };
    let message = without_text(&message);
    // ` at line 1 column 20` says nothing that the place does not say better.
    let message = message.split(" at line ").next().unwrap_or_default();
    let mut loc = vec!["body".to_owned()];
    loc.extend(path);
    let (msg, kind) = match missing_field(message) {
        Some(field) => {
            loc.push(field.to_owned());
            ("is required".to_owned(), "value_error.missing")
        }
        None => (format!("is not valid: {message}"), "type_error"),
    };
    ApiError::Invalid(vec![Fault {
        loc,
        msg,
        kind: Cow::Borrowed(kind),
    }])
}

/// Leaves out the text that was found, as in `invalid type: string "…", expected a map`: it may be
/// a secret in the wrong place.
fn without_text(message: &str) -> Cow<'_, str> {
    let found = message.split_once(" string \"");
    let parts = found.and_then(|(what, rest)| Some((what, rest.rsplit_once("\", expected ")?.1)));
    match parts {
        Some((what, expected)) => format!("{what} string, expected {expected}").into(),
        None => message.into(),
    }
}

fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn segment(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.escape_debug().to_string()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

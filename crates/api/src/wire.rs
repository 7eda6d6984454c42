//! What several bodies share.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads a field of a patch: not there is `None`, `null` is `Some(None)`.
#[expect(
    clippy::option_option,
    reason = "a patch has three cases: leave, clear, set"
)]
pub(crate) fn double_option<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// A text that is only copied where JSON escapes it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Returns a payload as the wire shows it: the JSON object that it is, or else `{}`.
pub(crate) fn object_or_empty(text: &str) -> Box<RawValue> {
    object(text).unwrap_or_else(empty_object)
}

/// Returns the JSON object that the text is, if it is one.
pub(crate) fn object(text: &str) -> Option<Box<RawValue>> {
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Returns `{}`.
pub(crate) fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("`{}` is JSON")
}

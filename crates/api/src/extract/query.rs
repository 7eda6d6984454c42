//! The query of a URL.

use std::borrow::Cow;
use std::fmt::Display;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema};
use axum::extract::FromRequestParts;
use domain::{ApiKeyId, Channel, EventType, Tag, Timestamp};
use http::request::Parts;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::error::ApiError;

/// The query, parsed; parameters that `T` does not have are ignored.
#[derive(Clone, Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        parse(&merged(query)).map(Self)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let pairs = form_pairs(query);
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
        let field = error.path().to_string();
        ApiError::field(&["query", &field], error.into_inner())
    })
}

fn form_pairs(query: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.as_bytes())
}

/// Joins repeated parameters, and those written `name[]` or `name[0]`, by commas: the one way in
/// which lists are read here.
fn merged(query: &str) -> Cow<'_, str> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut is_plain = true;
    for (name, value) in form_pairs(query) {
        let plain = name.split('[').next().unwrap_or_default();
        is_plain &= plain.len() == name.len();
        match pairs.iter_mut().find(|(before, _)| before == plain) {
            Some((_, joined)) => {
                is_plain = false;
                joined.push(',');
                joined.push_str(&value);
            }
            None => pairs.push((plain.to_owned(), value.into_owned())),
        }
    }
    if is_plain {
        return Cow::Borrowed(query);
    }
    let joined = serde_urlencoded::to_string(&pairs);
    Cow::Owned(joined.expect("pairs of texts can be written"))
}

/// A parameter that is one of our own types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed<T>(pub(crate) T);

/// The most that a list in a query may have.
const ITEMS_MAX: usize = 256;

/// A parameter that is a list, joined by commas or given once for each item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// A parameter that is true unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Flag(pub(crate) bool);

impl Flag {
    pub(crate) const fn on() -> Self {
        Self(true)
    }
}

/// What a parameter can be parsed into.
pub(crate) trait FromText: Sized {
    const FORMAT: Option<&'static str> = None;
    fn from_text(text: &str) -> Result<Self, impl Display>;
}

impl FromText for Channel {
    fn from_text(text: &str) -> Result<Self, impl Display> {
        Self::parse(text)
    }
}

impl FromText for ApiKeyId {
    fn from_text(text: &str) -> Result<Self, impl Display> {
        text.parse()
            .map_err(|_| "is not the id of an API key".to_owned())
    }
}

impl FromText for Tag {
    fn from_text(text: &str) -> Result<Self, impl Display> {
        Self::parse(text)
    }
}

impl FromText for EventType {
    fn from_text(text: &str) -> Result<Self, impl Display> {
        Self::parse(text)
    }
}

impl FromText for Timestamp {
    const FORMAT: Option<&'static str> = Some("date-time");

    fn from_text(text: &str) -> Result<Self, impl Display> {
        // A plus sign that was not encoded arrives as a space; no time has one otherwise.
        Self::parse(&text.replace(' ', "+"))
    }
}

impl<'de, T: FromText> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let parsed = T::from_text(&text).map_err(D::Error::custom)?;
        Ok(Self(parsed))
    }
}

impl<'de, T: FromText> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        if text.split(',').count() > ITEMS_MAX {
            return Err(D::Error::custom(format!("has more than {ITEMS_MAX} items")));
        }
        let items = text.split(',').filter(|item| !item.is_empty());
        let parsed: Result<Vec<T>, _> = items
            .map(|item| T::from_text(item).map_err(D::Error::custom))
            .collect();
        Ok(Self(parsed?))
    }
}

impl<T: FromText> JsonSchema for Parsed<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("Text:{:?}", T::FORMAT).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        match T::FORMAT {
            None => schemars::json_schema!({"type": "string"}),
            Some(format) => schemars::json_schema!({"type": "string", "format": format}),
        }
    }
}

impl<T> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The parameter once for each item is what OpenAPI takes for granted.
        schemars::json_schema!({"type": "array", "items": {"type": "string"}})
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Query);
        add_parameters(ctx, operation, parameters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Example {
        limit: Option<u16>,
        event_types: Option<List<EventType>>,
        before: Option<Parsed<Timestamp>>,
    }

    fn example(query: &str) -> Result<Example, ApiError> {
        parse(&merged(query))
    }

    fn loc_of(error: &ApiError) -> &[String] {
        match error {
            ApiError::Invalid(faults) => &faults[0].loc,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lists_are_read_however_they_are_written() {
        for query in [
            "event_types=a.b,c",
            "event_types=a.b%2Cc",
            "event_types=a.b&event_types=c",
            "event_types[]=a.b&event_types[]=c",
            "event_types[0]=a.b&limit=3&event_types[1]=c",
        ] {
            let List(types) = example(query).unwrap().event_types.unwrap();

            let names: Vec<_> = types.iter().map(EventType::as_str).collect();
            assert_eq!(names, ["a.b", "c"], "{query}");
        }
    }

    #[test]
    fn a_parameter_that_cannot_be_read_is_named() {
        for (query, field) in [
            ("limit=many", "limit"),
            ("limit=1&limit=2", "limit"),
            ("event_types=a%20b", "event_types"),
            ("before=yesterday", "before"),
        ] {
            let error = example(query).unwrap_err();

            assert_eq!(loc_of(&error), ["query", field], "{query}");
        }
        assert_eq!(example("limit=7&other=x").unwrap().limit, Some(7));
        assert!(
            example("before=2026-01-01T00:00:00+01:00")
                .unwrap()
                .before
                .is_some()
        );
    }
}

//! Where in a request a text is: `header:X-Id`, `json:data.id`, and so on.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::refused::Refused;
use super::request::{Request, View};

/// A place in a request.
///
/// Written as a kind, a colon and a name, such as `header:X-GitHub-Delivery`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Location {
    /// `header:NAME`: a header, which must not come twice.
    Header(String),
    /// `header:NAME-*`: every header whose name goes on with a number.
    Headers(String),
    /// `json:PATH`: a member of the JSON body, keys and indices joined by full stops.
    Json(String),
    /// `form:NAME`: a field of the form that the body is.
    Form(String),
    /// `query:NAME`: a parameter of the URL.
    Query(String),
    /// `signature:KEY`: another entry of a signature header of `key=value` pairs.
    Signature(String),
}

/// The text names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place in a request: write `header:`, `json:`, `form:`, `query:` or `signature:` \
     and a name"
)]
pub struct InvalidLocation(String);

impl TryFrom<String> for Location {
    type Error = InvalidLocation;

    fn try_from(text: String) -> Result<Self, InvalidLocation> {
        let named = text.split_once(':').filter(|(_, name)| !name.is_empty());
        match named {
            Some(("header", name)) => Ok(match name.strip_suffix('*') {
                Some(stem) => Self::Headers(stem.into()),
                None => Self::Header(name.into()),
            }),
            Some(("json", path)) => Ok(Self::Json(path.into())),
            Some(("form", name)) => Ok(Self::Form(name.into())),
            Some(("query", name)) => Ok(Self::Query(name.into())),
            Some(("signature", key)) => Ok(Self::Signature(key.into())),
            _ => Err(InvalidLocation(text)),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Headers(stem) => write!(f, "headers `{stem}1`, `{stem}2`, …"),
            Self::Json(path) => write!(f, "`{path}` in the JSON body"),
            Self::Form(name) => write!(f, "form field `{name}`"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Signature(key) => write!(f, "`{key}` in the signature header"),
        }
    }
}

impl Location {
    /// Says whether the place is in the body, so that nothing is known of it before parsing.
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Form(_))
    }

    /// Returns the text at this place.
    ///
    /// An error means that there is something which cannot be trusted to be one text.
    pub(super) fn find<'a>(&self, view: &View<'a>) -> Result<Option<Cow<'a, str>>, Refused> {
        match self {
            Self::Header(name) => Ok(view.request.only(name)?.map(Cow::Borrowed)),
            Self::Headers(_) => Ok(None),
            Self::Json(path) => Ok(view
                .json()
                .and_then(|value| Self::in_json(path, value))
                .map(|text| Cow::Owned(text.into_owned()))),
            Self::Form(name) => self.in_pairs(name, view.request.body),
            Self::Query(name) => {
                let query = view.request.query().unwrap_or_default();
                self.in_pairs(name, query.as_bytes())
            }
            Self::Signature(key) => Ok(view.signature.entry(key, view.request)?.map(Cow::Borrowed)),
        }
    }

    /// Returns the text at a path in a JSON value: a string as it is, a number or a truth value as
    /// it is written.
    pub fn in_json<'v>(path: &str, value: &'v Value) -> Option<Cow<'v, str>> {
        let mut found = value;
        for step in path.split('.') {
            found = match found {
                Value::Object(members) => members.get(step)?,
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        match found {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
            _ => None,
        }
    }

    fn in_pairs<'a>(&self, name: &str, pairs: &'a [u8]) -> Result<Option<Cow<'a, str>>, Refused> {
        let named = form_urlencoded::parse(pairs).filter(|(found, _)| found == name);
        let mut values = named.map(|(_, value)| value);
        let first = values.next();
        // A value that comes again changes nothing of what some providers sign of a form.
        if values.all(|value| first.as_ref() == Some(&value)) {
            Ok(first)
        } else {
            Err(Refused::PartRepeated {
                place: self.to_string(),
            })
        }
    }

    /// The names of the headers that the request has at this place.
    pub(super) fn header_names<'a>(&'a self, request: Request<'a>) -> Vec<&'a str> {
        match self {
            Self::Header(name) => vec![name.as_str()],
            Self::Headers(stem) => {
                let names = request.headers.iter().map(|(name, _)| *name);
                let mut names: Vec<_> = names.filter(|name| is_numbered(name, stem)).collect();
                names.sort_unstable();
                names.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
                names
            }
            _ => Vec::new(),
        }
    }
}

/// Says whether a name is `stem` and a number of at most three digits.
fn is_numbered(name: &str, stem: &str) -> bool {
    let Some((start, number)) = name.split_at_checked(stem.len()) else {
        return false;
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    start.eq_ignore_ascii_case(stem) && digits && (1..=3).contains(&number.len())
}

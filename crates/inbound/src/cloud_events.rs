//! Reads CloudEvents 1.0 from HTTP requests: binary, structured and batched.
//!
//! - **Binary**: the attributes are headers that start `ce-`, the data is the body.
//! - **Structured**: the body is one event in JSON, `application/cloudevents+json`.
//! - **Batched**: the body is an array of those, `application/cloudevents-batch+json`.
//!
//! An event is what `id` and `source` name together; the same two are the same event, sent again.
//! Bytes are never serialised anew: an event of a batch is the slice of the body that it stands in.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use signature::scheme::Request;

/// The most events of one batch.
pub const BATCH_MAX: usize = 1_000;
/// The most attributes of one event.
pub const ATTRIBUTES_MAX: usize = 64;
/// The longest attribute, in bytes.
pub const ATTRIBUTE_LEN_MAX: usize = 2_048;
/// The longest `id`, and the longest `type`.
pub const ID_LEN_MAX: usize = 256;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
/// What every format of CloudEvents starts with, those that are not read here among them.
const FAMILY: &str = "application/cloudevents";
const PREFIX: &str = "ce-";

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Names the event together with [`source`](Self::source).
    pub id: String,
    /// Where it happened: a URI or a part of one.
    pub source: String,
    /// What happened, as in `com.example.article.published`.
    pub kind: String,
    /// What it happened to.
    pub subject: Option<String>,
    /// When it happened, as it was written.
    pub time: Option<String>,
    /// What the data is; `application/json` where a structured event does not say.
    pub data_content_type: Option<String>,
    /// Which schema the data follows.
    pub data_schema: Option<String>,
    /// Everything else that is said of it, `traceparent` for one, by name.
    pub extensions: BTreeMap<String, String>,
    /// The bytes to keep: of a binary event its body, of any other the event as it stands.
    pub bytes: &'a [u8],
    /// Whether `bytes` are the whole event, and not its data alone.
    pub is_structured: bool,
}

/// The request holds no events that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvents {
    /// Neither a content type of CloudEvents nor a `ce-` header.
    #[error(
        "is no CloudEvent: it has no `ce-specversion`, and its content type is neither \
         `{STRUCTURED}` nor `{BATCH}`"
    )]
    NotCloudEvents,
    /// A format other than JSON.
    #[error("has a format of CloudEvents that is not read; send `{STRUCTURED}`")]
    Format,
    /// The body is not the JSON that it is said to be.
    #[error("is not the JSON that its content type promises: {0}")]
    Json(String),
    /// More than [`BATCH_MAX`] events.
    #[error("has more than {BATCH_MAX} events")]
    TooMany,
    /// One of the events.
    #[error("event {index}: {fault}")]
    Event {
        /// Which, counted from zero.
        index: usize,
        /// What is wrong with it.
        fault: Fault,
    },
}

impl InvalidEvents {
    /// Says whether another content type is what would help.
    pub const fn is_content_type(&self) -> bool {
        matches!(self, Self::NotCloudEvents | Self::Format)
    }
}

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An attribute that every event has.
    #[error("`{0}` is missing or empty")]
    Missing(&'static str),
    /// Another version of the specification.
    #[error("`specversion` is not 1.0")]
    Version,
    /// An attribute that comes more than once.
    #[error("`{0}` comes more than once")]
    Repeated(String),
    /// An attribute that is no text, number or truth value, or not the text that it must be.
    #[error("`{0}` is not what an attribute may be")]
    Malformed(String),
    /// Too long.
    #[error("`{0}` is too long")]
    TooLong(String),
    /// More than [`ATTRIBUTES_MAX`] attributes.
    #[error("has more than {ATTRIBUTES_MAX} attributes")]
    TooMany,
    /// Both `data` and `data_base64`.
    #[error("has both `data` and `data_base64`")]
    TwoData,
}

/// Reads the events of a request. A batch may be empty.
///
/// Costs one pass over the body.
pub fn read<'a>(request: &Request<'a>) -> Result<Vec<Event<'a>>, InvalidEvents> {
    let content_type = header(request, "content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let at = |index| move |fault| InvalidEvents::Event { index, fault };
    if essence.eq_ignore_ascii_case(BATCH) {
        let items: Vec<&RawValue> = json(request.body)?;
        if items.len() > BATCH_MAX {
            return Err(InvalidEvents::TooMany);
        }
        let items = items.into_iter().enumerate();
        return items
            .map(|(index, item)| structured(item.get().as_bytes()).map_err(at(index)))
            .collect();
    }
    if essence.eq_ignore_ascii_case(STRUCTURED) {
        let item: &RawValue = json(request.body)?;
        return Ok(vec![structured(item.get().as_bytes()).map_err(at(0))?]);
    }
    let is_family = essence
        .get(..FAMILY.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(FAMILY));
    if is_family {
        return Err(InvalidEvents::Format);
    }
    if header(request, "ce-specversion").is_none() {
        return Err(InvalidEvents::NotCloudEvents);
    }
    Ok(vec![binary(request).map_err(at(0))?])
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, InvalidEvents> {
    serde_json::from_slice(body).map_err(|error| InvalidEvents::Json(error.to_string()))
}

fn header<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    let mut headers = request.headers.iter();
    let (_, value) = headers.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    str::from_utf8(value).ok()
}

fn binary<'a>(request: &Request<'a>) -> Result<Event<'a>, Fault> {
    let mut attributes = Attributes::default();
    for (name, value) in request.headers {
        let Some(name) = attribute_of(name) else {
            continue;
        };
        let value = str::from_utf8(value).map_err(|_| Fault::Malformed(name.clone()))?;
        let value = percent_decoded(value.trim_ascii());
        attributes.add(name.clone(), value.ok_or(Fault::Malformed(name))?)?;
    }
    if let Some(content_type) = header(request, "content-type") {
        attributes.add("datacontenttype".to_owned(), content_type.to_owned())?;
    }
    attributes.into_event(request.body, false)
}

/// The attribute that a header holds.
fn attribute_of(header: &str) -> Option<String> {
    let (prefix, name) = header.split_at_checked(PREFIX.len())?;
    prefix
        .eq_ignore_ascii_case(PREFIX)
        .then(|| name.to_ascii_lowercase())
}

/// Header values are percent-encoded UTF-8; a `%` that begins no escape is one of the text.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%');
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = digits.and_then(|digits| str::from_utf8(digits).ok());
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8(bytes).ok()
}

fn structured(bytes: &[u8]) -> Result<Event<'_>, Fault> {
    let members: Members<'_> =
        serde_json::from_slice(bytes).map_err(|_| Fault::Malformed("event".to_owned()))?;
    if let Some(name) = members.repeated {
        return Err(Fault::Repeated(name));
    }
    let mut attributes = Attributes::default();
    let mut data = 0;
    for (name, value) in members.members {
        if name == "data" || name == "data_base64" {
            data += 1;
            continue;
        }
        if let Some(text) = attribute_text(&name, value)? {
            attributes.add(name, text)?;
        }
    }
    if data > 1 {
        return Err(Fault::TwoData);
    }
    attributes.into_event(bytes, true)
}

/// The text of an attribute: a string as it is, a number or a truth value as it is written. What
/// is null is not there.
fn attribute_text(name: &str, value: &RawValue) -> Result<Option<String>, Fault> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') | None => Err(Fault::Malformed(name.to_owned())),
        Some(b'"') => serde_json::from_str(text)
            .map(Some)
            .map_err(|_| Fault::Malformed(name.to_owned())),
        Some(_) => Ok(Some(text.to_owned())),
    }
}

/// The members of an object, and the name of one that comes twice: readers differ in which of the
/// two they take, so neither is taken.
struct Members<'a> {
    members: BTreeMap<String, &'a RawValue>,
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Members {
                    members: BTreeMap::new(),
                    repeated: None,
                };
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if found.members.len() > ATTRIBUTES_MAX {
                        return Err(A::Error::custom("too many members"));
                    }
                    if found.members.insert(name.clone(), value).is_some() {
                        found.repeated = Some(name);
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// What is said of an event, by name.
#[derive(Default)]
struct Attributes(BTreeMap<String, String>);

impl Attributes {
    fn add(&mut self, name: String, value: String) -> Result<(), Fault> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || name.len() > ID_LEN_MAX || !name.bytes().all(plain) {
            return Err(Fault::Malformed(name.chars().take(ID_LEN_MAX).collect()));
        }
        if value.len() > ATTRIBUTE_LEN_MAX {
            return Err(Fault::TooLong(name));
        }
        if value.contains(char::is_control) {
            return Err(Fault::Malformed(name));
        }
        if self.0.len() == ATTRIBUTES_MAX {
            return Err(Fault::TooMany);
        }
        if self.0.contains_key(&name) {
            return Err(Fault::Repeated(name));
        }
        self.0.insert(name, value);
        Ok(())
    }

    fn into_event(mut self, bytes: &[u8], is_structured: bool) -> Result<Event<'_>, Fault> {
        if self.take("specversion")? != "1.0" {
            return Err(Fault::Version);
        }
        let (id, source) = (self.take("id")?, self.take("source")?);
        let kind = self.take("type")?;
        for (name, value) in [("id", &id), ("type", &kind)] {
            if value.len() > ID_LEN_MAX {
                return Err(Fault::TooLong(name.to_owned()));
            }
        }
        let content_type = self.0.remove("datacontenttype");
        Ok(Event {
            id,
            source,
            kind,
            subject: self.0.remove("subject"),
            time: self.0.remove("time"),
            data_content_type: content_type
                .or_else(|| is_structured.then(|| "application/json".to_owned())),
            data_schema: self.0.remove("dataschema"),
            extensions: self.0,
            bytes,
            is_structured,
        })
    }

    fn take(&mut self, name: &'static str) -> Result<String, Fault> {
        let value = self.0.remove(name);
        value
            .filter(|value| !value.is_empty())
            .ok_or(Fault::Missing(name))
    }
}

#[cfg(test)]
mod tests;

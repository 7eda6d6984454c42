//! What is signed, written as a text with braces: `{timestamp}.{body}`.

use std::borrow::Cow;

use serde::Deserialize;

use super::canonical;
use super::location::Location;
use super::refused::Refused;
use super::request::View;

/// What is signed: literal text, and parts of the request in braces.
///
/// | Part | Is |
/// |---|---|
/// | `{method}`, `{url}`, `{path}` | the method; the public URL; its path and query |
/// | `{body}` | the body, byte for byte |
/// | `{timestamp}`, `{id}` | the timestamp, the first id: as they are spelled |
/// | `{secret}` | the secret itself |
/// | `{header:X}`, `{json:a.b}` … | the text at a place; `?` at its end: or nothing |
/// | `{form}` | the form's fields sorted by name, each name followed by its values |
/// | `{body.crc32}` | the body's CRC-32 in decimal |
/// | `{body.json-string}` | the body as a string of JSON |
/// | `{headers:X}` | the headers that header X lists, as `name:value;name:value` |
///
/// `{{` and `}}` are the braces themselves. A few parts belong to one provider each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Method,
    Url,
    Path,
    Body,
    BodyCrc32,
    BodyJsonString,
    Timestamp,
    Id,
    Secret,
    Form,
    At(Location),
    AtOptional(Location),
    ListedHeaders(String),
    ContentfulUri,
    HubspotUrl,
    TwilioUrl,
    TwilioForm,
    Sns,
    Adyen,
}

impl Part {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "method" => Self::Method,
            "url" => Self::Url,
            "path" => Self::Path,
            "body" => Self::Body,
            "body.crc32" => Self::BodyCrc32,
            "body.json-string" => Self::BodyJsonString,
            "timestamp" => Self::Timestamp,
            "id" => Self::Id,
            "secret" => Self::Secret,
            "form" => Self::Form,
            "contentful.uri" => Self::ContentfulUri,
            "hubspot.url" => Self::HubspotUrl,
            "twilio.url" => Self::TwilioUrl,
            "twilio.form" => Self::TwilioForm,
            "sns" => Self::Sns,
            "adyen" => Self::Adyen,
            _ => return Self::parse_place(name),
        })
    }

    fn parse_place(name: &str) -> Option<Self> {
        if let Some(list) = name.strip_prefix("headers:") {
            return Some(Self::ListedHeaders(list.into()));
        }
        let place = |name: &str| match Location::try_from(name.to_owned()) {
            Ok(Location::Headers(_)) | Err(_) => None,
            Ok(place) => Some(place),
        };
        match name.strip_suffix('?') {
            Some(name) => place(name).map(Self::AtOptional),
            None => place(name).map(Self::At),
        }
    }

    pub(super) fn place(&self) -> Option<&Location> {
        match self {
            Self::At(place) | Self::AtOptional(place) => Some(place),
            _ => None,
        }
    }

    pub(super) fn covers_body(&self) -> bool {
        matches!(
            self,
            Self::Body | Self::BodyCrc32 | Self::BodyJsonString | Self::Form | Self::TwilioForm
        )
    }

    pub(super) fn covers_query(&self) -> bool {
        matches!(
            self,
            Self::Url | Self::Path | Self::ContentfulUri | Self::HubspotUrl | Self::TwilioUrl
        )
    }
}

/// The text is not what a scheme can sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A brace that is neither of a part nor doubled.
    #[error("`signed` has a brace without its other half; write `{{{{` or `}}}}` for a brace")]
    Brace,
    /// No such part.
    #[error("`signed` has no part `{0}`")]
    Part(String),
}

impl TryFrom<String> for Template {
    type Error = InvalidTemplate;

    fn try_from(text: String) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                literal.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let inside = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
            let (name, tail) = inside.ok_or(InvalidTemplate::Brace)?;
            let part = Part::parse(name).ok_or_else(|| InvalidTemplate::Part(name.into()))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { text, parts })
    }
}

/// What a template is filled in with, apart from the request.
pub(super) struct Filling<'a> {
    pub(super) timestamp: Option<Cow<'a, str>>,
    pub(super) id: Option<Cow<'a, str>>,
    /// Which of a provider's ways to write the content; see [`Template::variants`].
    pub(super) variant: usize,
}

/// A content to be signed, in pieces, so that the body is never copied.
pub(super) type Content<'a> = Vec<Piece<'a>>;

pub(super) enum Piece<'a> {
    Bytes(Cow<'a, [u8]>),
    /// Where the secret goes.
    Secret,
}

impl Template {
    /// Returns the template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Says whether every byte of the body is covered.
    pub fn covers_body(&self) -> bool {
        self.parts.iter().any(Part::covers_body)
    }

    /// Says whether the public URL has to be known.
    pub fn needs_url(&self) -> bool {
        self.parts.iter().any(Part::covers_query)
    }

    /// In how many ways the provider may have written the content; any of them will do.
    pub(super) fn variants(&self) -> usize {
        let two = |part: &Part| matches!(part, Part::TwilioUrl | Part::Sns);
        if self.parts.iter().any(two) { 2 } else { 1 }
    }

    pub(super) fn fill<'a>(
        &'a self,
        view: &View<'a>,
        filling: &Filling<'a>,
    ) -> Result<Content<'a>, Refused> {
        let parts = self.parts.iter();
        parts.map(|part| part.fill(view, filling)).collect()
    }
}

impl Part {
    fn fill<'a>(&'a self, view: &View<'a>, filling: &Filling<'a>) -> Result<Piece<'a>, Refused> {
        let request = view.request;
        let url = || request.url.ok_or(Refused::UrlUnknown);
        let given = |text: &Option<Cow<'a, str>>, place: &str| {
            let missing = || Refused::PartMissing {
                place: place.into(),
            };
            text.clone().ok_or_else(missing)
        };
        let text = match self {
            Self::Secret => return Ok(Piece::Secret),
            Self::Body => return Ok(Piece::Bytes(Cow::Borrowed(request.body))),
            Self::Form => return canonical::form(request.body).map(Piece::from),
            Self::TwilioForm => return canonical::twilio_form(request).map(Piece::from),
            Self::Literal(text) => Cow::Borrowed(text.as_str()),
            Self::Method => Cow::Borrowed(request.method),
            Self::Url => Cow::Borrowed(url()?),
            Self::Path => Cow::Borrowed(request.path_and_query().ok_or(Refused::UrlUnknown)?),
            Self::BodyCrc32 => Cow::Owned(canonical::crc32(request.body).to_string()),
            Self::BodyJsonString => Cow::Owned(canonical::json_string(request.body)?),
            Self::Timestamp => given(&filling.timestamp, "the timestamp")?,
            Self::Id => given(&filling.id, "the id")?,
            Self::At(place) => place.find(view)?.ok_or_else(|| Refused::PartMissing {
                place: place.to_string(),
            })?,
            Self::AtOptional(place) => place.find(view)?.unwrap_or_default(),
            Self::ListedHeaders(list) => Cow::Owned(canonical::listed_headers(list, request)?),
            Self::ContentfulUri => Cow::Owned(canonical::contentful_uri(request)?),
            Self::HubspotUrl => Cow::Owned(canonical::hubspot_url(url()?)),
            Self::TwilioUrl => canonical::twilio_url(url()?, filling.variant),
            Self::Sns => Cow::Owned(canonical::sns(view, filling.variant)?),
            Self::Adyen => Cow::Owned(canonical::adyen(view)?),
        };
        Ok(Piece::from(text))
    }
}

impl<'a> From<Cow<'a, str>> for Piece<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Bytes(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }
}

impl From<Vec<u8>> for Piece<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<Vec<Part>, InvalidTemplate> {
        Template::try_from(text.to_owned()).map(|template| template.parts)
    }

    #[test]
    fn a_template_is_literals_and_parts() {
        let literal = |text: &str| Part::Literal(text.into());

        assert_eq!(
            parts("v0:{timestamp}:{body}"),
            Ok(vec![
                literal("v0:"),
                Part::Timestamp,
                literal(":"),
                Part::Body
            ])
        );
        assert_eq!(
            parts("{{\"t\":{header:X}}}"),
            Ok(vec![
                literal("{\"t\":"),
                Part::At(Location::Header("X".into())),
                literal("}"),
            ])
        );
        assert_eq!(parts(""), Ok(vec![]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(parts("{body"), Err(InvalidTemplate::Brace));
        assert_eq!(parts("body}"), Err(InvalidTemplate::Brace));
        for name in ["bodies", "", "header:", "headers", "header:X-*"] {
            let text = format!("{{{name}}}");
            assert_eq!(parts(&text), Err(InvalidTemplate::Part(name.into())));
        }
    }
}

//! A request as it came in, and how texts are found in it.

use std::cell::OnceCell;

use serde_json::Value;

use super::refused::Refused;
use super::signature::SignatureRule;

/// The most bytes of a header that is looked at.
pub(super) const HEADER_LEN_MAX: usize = 8 << 10;

/// A request as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The URL that the provider has been told, with the query of this request; `None` when it is
    /// not known. Never put together from the `Host` header: a proxy may have changed that.
    pub url: Option<&'a str>,
    /// Every header, in any order and with names in any case; values as they came.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body before any decoding.
    pub body: &'a [u8],
    /// What an earlier verdict needed, once it has been fetched.
    pub fetched: Option<Fetched<'a>>,
}

/// Something that was fetched because a verdict needed it.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// Where it is from.
    pub url: &'a str,
    /// The body of the answer.
    pub bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// Every value of a header, as it came.
    pub(super) fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.headers.iter();
        named
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The only value of a header, without the white space around it.
    ///
    /// A header that comes twice is refused, because what signed one of the values and what acts
    /// on the other need not be the same.
    pub(super) fn only(self, name: &str) -> Result<Option<&'a str>, Refused> {
        let mut values = self.all(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Refused::HeaderRepeated { name: name.into() });
        }
        text(name, value).map(Some)
    }

    /// The path and the query of the URL.
    pub(super) fn path_and_query(self) -> Option<&'a str> {
        let (_, rest) = self.url?.split_once("://")?;
        Some(rest.find(['/', '?']).map_or("/", |start| &rest[start..]))
    }

    /// The query of the URL, without its question mark.
    pub(super) fn query(self) -> Option<&'a str> {
        Some(self.url?.split_once('?')?.1)
    }

    /// Says whether the body is a form, as far as its content type tells.
    pub(super) fn is_form(self) -> Option<bool> {
        let content_type = self.all("content-type").next()?;
        let essence = content_type.split(|byte| *byte == b';').next()?;
        let form = b"application/x-www-form-urlencoded";
        Some(essence.trim_ascii().eq_ignore_ascii_case(form))
    }
}

/// A header's value as text: visible ASCII and white space, and not too much of it.
pub(super) fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Refused> {
    if value.len() > HEADER_LEN_MAX {
        return Err(Refused::HeaderTooLong { name: name.into() });
    }
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let text = str::from_utf8(value).ok();
    text.filter(|_| value.iter().all(plain))
        .map(str::trim_ascii)
        .ok_or_else(|| Refused::HeaderMalformed { name: name.into() })
}

/// A request that is being looked at by a scheme: what has to be parsed is parsed once.
pub(super) struct View<'a> {
    pub(super) request: Request<'a>,
    pub(super) signature: &'a SignatureRule,
    json: OnceCell<Option<Value>>,
}

impl<'a> View<'a> {
    pub(super) fn new(request: Request<'a>, signature: &'a SignatureRule) -> Self {
        Self {
            request,
            signature,
            json: OnceCell::new(),
        }
    }

    /// The body as JSON, if that is what it is.
    pub(super) fn json(&self) -> Option<&Value> {
        let parse = || serde_json::from_slice(self.request.body).ok();
        self.json.get_or_init(parse).as_ref()
    }
}

//! Where the signature of a request is, and in which form.

use std::borrow::Cow;

use serde::Deserialize;

use super::encoding::Encoding;
use super::location::Location;
use super::refused::Refused;
use super::request::{Request, View, text};

/// The most signatures that are compared. Nobody sends more than one for each of 100 keys.
pub const VALUES_MAX: usize = 100;

/// The most signatures of a public key that are tried: each costs a verification with each key.
pub const PUBLIC_KEY_SIGNATURES_MAX: usize = 8;

/// The longest text that is decoded as a signature; that of an RSA key of 8,192 bits has 1,368.
const SIGNATURE_LEN_MAX: usize = 2_048;

/// Where the signature is, and in which form.
///
/// - Whole, or behind a `prefix` such as `sha256=`.
/// - With a `separator` and a `key`: the value of that key in `t=1,v1=…`, as often as it comes.
/// - With a `separator` and a `prefix`: the items of a list that start so, `v1,… v1,…`.
/// - With `auth`: behind the name of an HTTP authentication scheme, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct SignatureRule {
    pub(super) from: Vec<Location>,
    pub(super) form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole { prefix: String },
    Auth { scheme: String },
    List { separator: char, prefix: String },
    Pairs { separator: char, key: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    from: Vec<Location>,
    prefix: Option<String>,
    separator: Option<char>,
    key: Option<String>,
    auth: Option<String>,
}

/// The fields of a signature's place contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidRule {
    #[error("`from` is empty: say where the signature is, as in `header:X-Signature`")]
    Nowhere,
    #[error("`from` cannot be `signature:`, which is what it says the place of")]
    Circular,
    #[error("give `prefix`, or `separator` with either `prefix` or `key`, or `auth`")]
    Form,
}

impl TryFrom<Fields> for SignatureRule {
    type Error = InvalidRule;

    fn try_from(fields: Fields) -> Result<Self, InvalidRule> {
        if fields.from.is_empty() {
            return Err(InvalidRule::Nowhere);
        }
        if fields
            .from
            .iter()
            .any(|place| matches!(place, Location::Signature(_)))
        {
            return Err(InvalidRule::Circular);
        }
        let form = match (fields.separator, fields.key, fields.prefix, fields.auth) {
            (Some(separator), Some(key), None, None) => Form::Pairs { separator, key },
            (Some(separator), None, Some(prefix), None) => Form::List { separator, prefix },
            (None, None, None, Some(scheme)) => Form::Auth { scheme },
            (None, None, prefix, None) => Form::Whole {
                prefix: prefix.unwrap_or_default(),
            },
            _ => return Err(InvalidRule::Form),
        };
        Ok(Self {
            from: fields.from,
            form,
        })
    }
}

impl SignatureRule {
    /// Returns the places where the signature may be, the first one first.
    pub fn locations(&self) -> &[Location] {
        &self.from
    }

    /// Where the signature is looked for; any of these places may hold the right one.
    pub fn from(&self) -> &[Location] {
        &self.from
    }

    /// Describes the value at the place, for people, as in `t=…,v1=<hex>`.
    pub fn pattern(&self, encoding: Encoding) -> String {
        let value = encoding.title();
        match &self.form {
            Form::Whole { prefix } => format!("{prefix}<{value}>"),
            Form::Auth { scheme } => format!("{scheme} <{value}>"),
            Form::List { separator, prefix } => {
                format!("{prefix}<{value}>{separator}{prefix}<{value}>{separator}…")
            }
            Form::Pairs { separator, key } => format!("…{separator}{key}=<{value}>"),
        }
    }

    /// Returns the places for people, as in "header `A` or header `B`".
    pub fn places(&self) -> String {
        places(&self.from)
    }

    pub(super) fn has_pairs(&self) -> bool {
        matches!(self.form, Form::Pairs { .. })
    }

    /// The value of another key in a signature header of `key=value` pairs.
    pub(super) fn entry<'a>(
        &self,
        wanted: &str,
        request: Request<'a>,
    ) -> Result<Option<&'a str>, Refused> {
        let Form::Pairs { separator, .. } = self.form else {
            return Ok(None);
        };
        let mut found = None;
        for place in &self.from {
            for name in place.header_names(request) {
                for value in request.all(name) {
                    for (key, value) in pairs(text(name, value)?, separator) {
                        if key == wanted && found.replace(value).is_some() {
                            return Err(Refused::PartRepeated {
                                place: Location::Signature(wanted.into()).to_string(),
                            });
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Returns every signature of the request, decoded.
    pub(super) fn decoded(
        &self,
        view: &View<'_>,
        encoding: Encoding,
    ) -> Result<Vec<Vec<u8>>, Refused> {
        let texts = self.texts(view)?;
        let place = || self.places();
        if !texts.any {
            return Err(Refused::SignatureMissing { place: place() });
        }
        let short = texts
            .found
            .iter()
            .filter(|text| text.len() <= SIGNATURE_LEN_MAX);
        let decoded: Vec<_> = short.filter_map(|text| encoding.decode(text)).collect();
        if decoded.is_empty() {
            let expected = format!("`{}`", self.pattern(encoding));
            return Err(Refused::SignatureMalformed {
                place: place(),
                expected,
            });
        }
        Ok(decoded)
    }

    fn texts(&self, view: &View<'_>) -> Result<Texts, Refused> {
        let mut texts = Texts::default();
        for place in &self.from {
            for value in self.values(place, view)? {
                if value.is_empty() {
                    continue;
                }
                texts.any = true;
                match (&self.form, place) {
                    // The scheme's name belongs to the header: elsewhere the token stands alone.
                    (Form::Auth { .. }, Location::Query(_)) => texts.found.push(value.into_owned()),
                    _ => self.split(&value, &mut texts.found),
                }
                if texts.found.len() > VALUES_MAX {
                    return Err(Refused::TooManySignatures);
                }
            }
        }
        Ok(texts)
    }

    /// The values at one place: of a list every line, of anything else the only one.
    fn values<'a>(&self, place: &Location, view: &View<'a>) -> Result<Vec<Cow<'a, str>>, Refused> {
        let request = view.request;
        let is_list = matches!(self.form, Form::List { .. } | Form::Pairs { .. });
        match place {
            Location::Header(name) if is_list => {
                let values = request.all(name);
                values
                    .map(|value| text(name, value).map(Cow::Borrowed))
                    .collect()
            }
            Location::Headers(_) => {
                let names = place.header_names(request).into_iter();
                let values = names.map(|name| request.only(name));
                values
                    .filter_map(Result::transpose)
                    .map(|value| value.map(Cow::Borrowed))
                    .collect()
            }
            _ => Ok(place.find(view)?.into_iter().collect()),
        }
    }

    fn split(&self, value: &str, found: &mut Vec<String>) {
        let most = VALUES_MAX + 1;
        match &self.form {
            Form::Whole { prefix } => {
                found.extend(value.strip_prefix(prefix.as_str()).map(str::to_owned));
            }
            Form::Auth { scheme } => {
                if let Some((name, rest)) = value.split_once(' ')
                    && name.eq_ignore_ascii_case(scheme)
                {
                    found.push(rest.trim_ascii().to_owned());
                }
            }
            Form::List { separator, prefix } => {
                let items = items(value, *separator);
                let ours = items.filter_map(|item| item.strip_prefix(prefix.as_str()));
                found.extend(ours.take(most).map(str::to_owned));
            }
            Form::Pairs { separator, key } => {
                let ours = pairs(value, *separator).filter(|(name, _)| name == key);
                found.extend(ours.take(most).map(|(_, text)| text.to_owned()));
            }
        }
    }
}

/// The signatures of a request, as texts.
#[derive(Default)]
struct Texts {
    /// Whether there is anything at all, of whatever form.
    any: bool,
    found: Vec<String>,
}

/// Splits a list. Lines that a proxy has merged have `, ` between them: where white space is what
/// separates, such a comma belongs to the list and not to the item before it.
fn items(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut parts = value.split(separator).peekable();
    std::iter::from_fn(move || {
        let part = parts.next()?;
        let merged = separator == ' ' && parts.peek().is_some();
        Some(part.strip_suffix(',').filter(|_| merged).unwrap_or(part))
    })
    .map(str::trim_ascii)
}

/// Splits `t=1, v1=x`; what is no pair is passed over.
fn pairs(value: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    value
        .split(separator)
        .filter_map(|pair| pair.trim_ascii().split_once('='))
}

pub(super) fn places(places: &[Location]) -> String {
    let texts: Vec<_> = places.iter().map(Location::to_string).collect();
    texts.join(" or ")
}

//! Verifies what providers send, by a description of how each of them signs.
//!
//! A [`Scheme`] is data: where the signature stands and in which form, which parts of the request
//! are signed, with which algorithm, how key and signature are spelled, and where the time and
//! the ids are. That is enough for nearly every provider; [`presets`] are the schemes of those
//! that are known by name, and a scheme of one's own is read by [`Scheme::parse`].
//!
//! What a verdict relies on: the body's raw bytes, before any decoding, and the headers as they
//! came. What is signed is taken from them as it stands; a timestamp, for one, is signed as it is
//! spelled. Everything that is missing, repeated or not as it must be refuses the request. The
//! work is bounded: the length of a header, the number of signatures and of form fields all are.
//!
//! What this module does not do: it reads no clock and opens no connection. Where a provider signs
//! with a certificate that has to be fetched, [`Scheme::verify`] answers [`Verdict::Needs`], and is
//! asked again with the certificate.

mod canonical;
mod certificate;
mod challenge;
mod diagnosis;
mod encoding;
mod handshake;
mod key;
mod location;
mod preset;
mod reading;
mod refused;
mod request;
mod respell;
mod sign;
mod signature;
mod template;
mod timestamp;
mod verify;

use std::str::FromStr;

use serde::Deserialize;

pub use certificate::CertificateRule;
pub use challenge::{Handshake, crc_response, zoom_response};
pub use diagnosis::{BODY_LEN_DIAGNOSED, Cause, Other, Suspect, diagnose};
pub use encoding::Encoding;
pub use handshake::{
    Answer, Asked, ECHO_LEN_MAX, Greeting, HandshakeRefused, Planted, QUESTION_LEN_MAX,
};
pub use key::{InvalidSecret, Key, KeyEncoding, KeyForm, SECRET_LEN_MAX};
pub use location::Location;
pub use preset::{Confirmation, Preset, preset, presets};
pub use refused::Refused;
pub use request::{Fetched, Request};
pub use sign::{CannotSign, SchemeSigningKey, Signed, Unsigned};
pub use signature::{PUBLIC_KEY_SIGNATURES_MAX, SignatureRule, VALUES_MAX};
pub use template::Template;
pub use timestamp::{TimestampRule, TimestampUnit};
pub use verify::{Id, Needs, Verdict, Verified, event_name};

use template::Part;

/// How a provider signs its requests, and where the rest of what is to be known about them is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Scheme {
    signature: SignatureRule,
    signed: Template,
    algorithm: Algorithm,
    key: KeyForm,
    encoding: Encoding,
    timestamp: Option<TimestampRule>,
    certificate: Option<CertificateRule>,
    audience: Option<Location>,
    ids: Vec<Location>,
    event: Vec<Location>,
}

/// The longest description of a scheme, in bytes.
pub const SCHEME_LEN_MAX: usize = 16 << 10;
/// The most full stops in a line of it.
const STOPS_MAX: usize = 64;

/// What a signature is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-1: weak on paper, and still what several providers have.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// SHA-256 over a content that holds the secret.
    Sha256Concat,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the signature in DER.
    EcdsaP256,
    /// RSA PKCS #1 v1.5 with SHA-1.
    RsaSha1,
    /// RSA PKCS #1 v1.5 with SHA-256.
    RsaSha256,
    /// No signature: the secret itself is sent along.
    Token,
}

impl Algorithm {
    /// Says whether keys come in two halves, of which verifying needs the public one.
    pub const fn is_public_key(self) -> bool {
        matches!(
            self,
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha1 | Self::RsaSha256
        )
    }

    /// Returns the algorithm's name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha384 => "HMAC-SHA384",
            Self::HmacSha512 => "HMAC-SHA512",
            Self::Sha256Concat => "SHA-256 (not an HMAC)",
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA P-256 with SHA-256",
            Self::RsaSha1 => "RSA with SHA-1",
            Self::RsaSha256 => "RSA with SHA-256",
            Self::Token => "none: the secret itself is sent",
        }
    }
}

/// The description of a scheme contradicts itself or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScheme {
    /// Not TOML or JSON, or not the fields that a scheme has.
    #[error("{0}")]
    Syntax(String),
    /// Longer than [`SCHEME_LEN_MAX`].
    #[error("is longer than {SCHEME_LEN_MAX} bytes")]
    TooLong,
    /// Without this, anybody could make a signature.
    #[error("`signed` has no `{{secret}}`, so anybody could make a signature")]
    NoSecret,
    /// A signature over nothing proves nothing.
    #[error("`signed` is empty, so one signature would hold for every request")]
    NothingSigned,
    /// A token is compared as it is.
    #[error("`signed` must be empty where the algorithm is `token`")]
    TokenSigned,
    /// The content names a timestamp, and nothing says where it is.
    #[error("`signed` has `{{timestamp}}`, and there is no `timestamp` that says where it is")]
    NoTimestamp,
    /// The content names an id, and nothing says where it is.
    #[error("`signed` has `{{id}}`, and `ids` does not start with a header")]
    NoId,
    /// Keys of this spelling are of no use to the algorithm.
    #[error("the key's encoding does not suit the algorithm")]
    KeyEncoding,
    /// `signature:` names an entry of the signature header, which has none.
    #[error("`signature:{0}` needs a signature header of `key=value` pairs")]
    NoPairs(String),
}

/// A scheme as it is written down, before its parts are held against each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    signature: SignatureRule,
    #[serde(default)]
    signed: Template,
    algorithm: Algorithm,
    #[serde(default)]
    key: KeyForm,
    encoding: Encoding,
    timestamp: Option<TimestampRule>,
    certificate: Option<CertificateRule>,
    audience: Option<Location>,
    #[serde(default)]
    ids: Vec<Location>,
    #[serde(default)]
    event: Vec<Location>,
}

impl TryFrom<Fields> for Scheme {
    type Error = InvalidScheme;

    fn try_from(fields: Fields) -> Result<Self, InvalidScheme> {
        let scheme = Self {
            signature: fields.signature,
            signed: fields.signed,
            algorithm: fields.algorithm,
            key: fields.key,
            encoding: fields.encoding,
            timestamp: fields.timestamp,
            certificate: fields.certificate,
            audience: fields.audience,
            ids: fields.ids,
            event: fields.event,
        };
        scheme.check()?;
        Ok(scheme)
    }
}

impl Scheme {
    /// Reads a scheme from TOML, or from JSON where the text starts with a brace.
    pub fn parse(text: &str) -> Result<Self, InvalidScheme> {
        if text.len() > SCHEME_LEN_MAX {
            return Err(InvalidScheme::TooLong);
        }
        let text = text.trim_start();
        if text.starts_with('{') {
            serde_json::from_str(text).map_err(|error| InvalidScheme::Syntax(error.to_string()))
        } else {
            // Each full stop of a key is a table within a table, and those are dropped one within
            // the other: some ten thousand of them end on the stack's guard page.
            let stops = |line: &str| line.bytes().filter(|byte| *byte == b'.').count();
            if text.lines().any(|line| stops(line) > STOPS_MAX) {
                return Err(InvalidScheme::Syntax(
                    "a line has too many full stops".to_owned(),
                ));
            }
            toml::from_str(text).map_err(|error| InvalidScheme::Syntax(error.message().to_owned()))
        }
    }

    /// Where the signature is, and in which form.
    pub fn signature(&self) -> &SignatureRule {
        &self.signature
    }

    /// What is signed.
    pub fn signed(&self) -> &Template {
        &self.signed
    }

    /// What signatures are made with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How a key is spelled.
    pub fn key_form(&self) -> &KeyForm {
        &self.key
    }

    /// How a signature is spelled.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Where the time of signing is, if the provider sends one.
    pub fn timestamp(&self) -> Option<&TimestampRule> {
        self.timestamp.as_ref()
    }

    /// Which certificate signs, where it is not the key that the operator gave.
    pub fn certificate(&self) -> Option<&CertificateRule> {
        self.certificate.as_ref()
    }

    /// Where ids to deduplicate by are found, the best first.
    pub fn ids(&self) -> &[Location] {
        &self.ids
    }

    /// Where the parts of the event type are found; they are joined by full stops.
    pub fn event(&self) -> &[Location] {
        &self.event
    }

    /// The same scheme with another tolerance, in seconds; `None` checks no time at all.
    ///
    /// Changes nothing where the provider sends no time.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Option<u32>) -> Self {
        if let Some(rule) = &mut self.timestamp {
            rule.tolerance = tolerance;
        }
        self
    }

    /// Says whether a text at this place is covered by the signature.
    pub fn covers(&self, place: &Location) -> bool {
        let parts = self.signed.parts();
        let whole = match place {
            Location::Json(_) | Location::Form(_) => parts.iter().any(Part::covers_body),
            Location::Query(_) => parts.iter().any(Part::covers_query),
            _ => false,
        };
        whole || self.names(place)
    }

    fn names(&self, place: &Location) -> bool {
        self.signed.parts().iter().any(|part| match part {
            Part::At(named) | Part::AtOptional(named) => named == place,
            Part::Id => self.ids.contains(place),
            Part::Sns => matches!(place, Location::Json(name) if name == "MessageId"),
            Part::Adyen => {
                matches!(place, Location::Json(path) if canonical::adyen_signs(path))
            }
            Part::Timestamp => self
                .timestamp
                .as_ref()
                .is_some_and(|rule| rule.from.contains(place)),
            _ => false,
        })
    }

    fn check(&self) -> Result<(), InvalidScheme> {
        let parts = self.signed.parts();
        match self.algorithm {
            Algorithm::Token if !parts.is_empty() => return Err(InvalidScheme::TokenSigned),
            Algorithm::Token => {}
            _ if parts
                .iter()
                .all(|part| matches!(part, Part::Literal(_) | Part::Secret)) =>
            {
                return Err(InvalidScheme::NothingSigned);
            }
            Algorithm::Sha256Concat if !parts.contains(&Part::Secret) => {
                return Err(InvalidScheme::NoSecret);
            }
            _ => {}
        }
        if parts.contains(&Part::Timestamp) && self.timestamp.is_none() {
            return Err(InvalidScheme::NoTimestamp);
        }
        if parts.contains(&Part::Id) && !matches!(self.ids.first(), Some(Location::Header(_))) {
            return Err(InvalidScheme::NoId);
        }
        let needs_public_key = self.algorithm.is_public_key() && self.certificate.is_none();
        if !self.key.encoding.suits(self.algorithm, needs_public_key) {
            return Err(InvalidScheme::KeyEncoding);
        }
        self.check_pairs()
    }

    /// Entries of the signature header can be named only where it has entries with names.
    fn check_pairs(&self) -> Result<(), InvalidScheme> {
        if self.signature.has_pairs() {
            return Ok(());
        }
        let times = self.timestamp.iter().flat_map(|rule| &rule.from);
        let parts = self.signed.parts().iter().filter_map(Part::place);
        let mut places = times.chain(parts).chain(&self.ids).chain(&self.event);
        match places.find(|place| matches!(place, Location::Signature(_))) {
            Some(Location::Signature(key)) => Err(InvalidScheme::NoPairs(key.clone())),
            _ => Ok(()),
        }
    }
}

impl FromStr for Scheme {
    type Err = InvalidScheme;

    fn from_str(text: &str) -> Result<Self, InvalidScheme> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;

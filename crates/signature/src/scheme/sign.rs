//! Signs as a provider does: for samples, and for tests.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as public, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use domain::Timestamp;
use serde_json::Value;
use zeroize::Zeroizing;

use super::key::{InvalidSecret, Key, KeyEncoding, decode};
use super::location::Location;
use super::refused::Refused;
use super::request::{Request, View};
use super::signature::Form;
use super::template::{Content, Filling, Part};
use super::timestamp::TimestampUnit;
use super::verify::contiguous;
use super::{Algorithm, Scheme};

/// A request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The URL that it is sent to.
    pub url: Option<&'a str>,
    /// Headers that it has already.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// Its id, which goes where the provider has one in a header.
    pub id: &'a str,
    /// When it is signed.
    pub at: Timestamp,
}

/// A signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Every header, those that were given among them.
    pub headers: Vec<(String, String)>,
    /// The body; another one than given only where the provider signs inside of it.
    pub body: Vec<u8>,
}

/// The request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// Something that is signed is not there.
    #[error("cannot be signed: {0}")]
    Content(#[from] Refused),
    /// Nothing can be written at such a place.
    #[error("cannot write to {0}")]
    Place(String),
    /// The body has to take a signature and is no JSON object.
    #[error("the signature goes into the body, which is no JSON object")]
    NotAnObject,
    /// The key has no private half.
    #[error("the private key refuses to sign")]
    Key,
}

/// A key that signs as a provider does.
pub struct SchemeSigningKey {
    key: Key,
    private: Option<Private>,
}

enum Private {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<public::RsaKeyPair>),
}

impl fmt::Debug for SchemeSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SchemeSigningKey {
    /// Reads the secret of a scheme in which both sides have the same.
    pub fn shared(scheme: &Scheme, secret: &str) -> Result<Self, InvalidSecret> {
        if scheme.algorithm.is_public_key() {
            return Err(InvalidSecret::NotPrivateKey);
        }
        Ok(Self {
            key: Key::parse(scheme, secret)?,
            private: None,
        })
    }

    /// Reads a private key in PKCS #8; of Ed25519 also its 32 bytes of seed.
    ///
    /// `secret` is what the operator gives besides, where the scheme has a certificate.
    pub fn private(scheme: &Scheme, der: &[u8], secret: &str) -> Result<Self, InvalidSecret> {
        let bad = |_| InvalidSecret::NotPrivateKey;
        let private = match scheme.algorithm {
            Algorithm::Ed25519 if der.len() == 32 => {
                Ed25519KeyPair::from_seed_unchecked(der).map(Private::Ed25519)
            }
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(der).map(Private::Ed25519),
            Algorithm::EcdsaP256 => {
                let algorithm = &public::ECDSA_P256_SHA256_ASN1_SIGNING;
                EcdsaKeyPair::from_pkcs8(algorithm, der).map(|key| Private::Ecdsa(Box::new(key)))
            }
            Algorithm::RsaSha1 | Algorithm::RsaSha256 => {
                public::RsaKeyPair::from_pkcs8(der).map(|key| Private::Rsa(Box::new(key)))
            }
            _ => return Err(InvalidSecret::NotPrivateKey),
        };
        let bytes = match scheme.certificate {
            Some(_) => decode(&scheme.key, secret)?,
            None => Zeroizing::default(),
        };
        Ok(Self {
            key: Key { bytes, hmac: None },
            private: Some(private.map_err(bad)?),
        })
    }

    /// Returns the public half as the scheme has it written; `None` where there is none.
    pub fn public(&self, scheme: &Scheme) -> Option<String> {
        let spki = match self.private.as_ref()? {
            Private::Ed25519(pair) if scheme.key.encoding != KeyEncoding::Spki => {
                let bytes = pair.public_key().as_ref();
                return Some(match scheme.key.encoding {
                    KeyEncoding::Hex => super::Encoding::Hex.encode(bytes),
                    _ => super::Encoding::Base64.encode(bytes),
                });
            }
            Private::Ed25519(pair) => pair.public_key().as_der().ok()?.as_ref().to_vec(),
            Private::Ecdsa(pair) => pair.public_key().as_der().ok()?.as_ref().to_vec(),
            Private::Rsa(pair) => pair.public_key().as_der().ok()?.as_ref().to_vec(),
        };
        Some(super::Encoding::Base64.encode(&spki))
    }
}

impl Scheme {
    /// Signs a request as the provider does, adding the headers that go with it.
    ///
    /// What the provider signs beside its own headers must be there already, apart from headers
    /// that hold an id.
    pub fn sign(
        &self,
        key: &SchemeSigningKey,
        unsigned: &Unsigned<'_>,
    ) -> Result<Signed, CannotSign> {
        let mut signed = Signed {
            headers: unsigned
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: unsigned.body.to_vec(),
        };
        self.add_ids(unsigned, &mut signed);
        let timestamp = self.add_timestamp(unsigned.at, &mut signed)?;
        self.add_lists(&mut signed);
        let signature = self.signature_of(key, unsigned, &signed, timestamp)?;
        self.add_signature(&self.encoding.encode(&signature), &mut signed)?;
        Ok(signed)
    }

    fn add_ids(&self, unsigned: &Unsigned<'_>, signed: &mut Signed) {
        let parts = self.signed.parts().iter().filter_map(Part::place);
        for place in self.ids.first().into_iter().chain(parts) {
            if let Location::Header(name) = place
                && !signed.has(name)
                && !self.is_timestamp(place)
            {
                signed.add(name, unsigned.id.to_owned());
            }
        }
    }

    fn is_timestamp(&self, place: &Location) -> bool {
        let rule = self.timestamp.as_ref();
        rule.is_some_and(|rule| rule.from.contains(place))
    }

    fn add_timestamp(
        &self,
        at: Timestamp,
        signed: &mut Signed,
    ) -> Result<Option<String>, CannotSign> {
        let Some((rule, place)) = self
            .timestamp
            .as_ref()
            .zip(self.timestamp.as_ref().and_then(|rule| rule.from.first()))
        else {
            return Ok(None);
        };
        let text = rule.unit.write(at);
        match place {
            Location::Header(name) => signed.add(name, text.clone()),
            Location::Signature(key) => self.add_entry(key, &text, signed)?,
            Location::Json(path) => {
                let is_number = matches!(
                    rule.unit,
                    TimestampUnit::Seconds | TimestampUnit::Milliseconds
                );
                let number = text.parse::<u64>().ok().filter(|_| is_number);
                let value = number.map_or_else(|| Value::from(text.clone()), Value::from);
                signed.set_json(path, value)?;
            }
            place => return Err(CannotSign::Place(place.to_string())),
        }
        Ok(Some(text))
    }

    /// Headers that list what is signed have at least themselves and the timestamp.
    fn add_lists(&self, signed: &mut Signed) {
        for part in self.signed.parts() {
            if let Part::ListedHeaders(list) = part
                && !signed.has(list)
            {
                let mut names = list.to_ascii_lowercase();
                for place in self.timestamp.iter().flat_map(|rule| &rule.from) {
                    if let Location::Header(name) = place {
                        names = format!("{names},{}", name.to_ascii_lowercase());
                    }
                }
                signed.add(list, names);
            }
        }
    }

    fn signature_of(
        &self,
        key: &SchemeSigningKey,
        unsigned: &Unsigned<'_>,
        signed: &Signed,
        timestamp: Option<String>,
    ) -> Result<Vec<u8>, CannotSign> {
        let headers: Vec<_> = signed
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let request = Request {
            method: unsigned.method,
            url: unsigned.url,
            headers: &headers,
            body: &signed.body,
            fetched: None,
        };
        let view = View::new(request, &self.signature);
        let filling = Filling {
            timestamp: timestamp.map(Cow::Owned),
            id: match self.ids.first() {
                Some(place) => place.find(&view)?,
                None => None,
            },
            variant: 0,
        };
        let content = self.signed.fill(&view, &filling)?;
        self.raw_signature(key, &content)
    }

    fn raw_signature(
        &self,
        key: &SchemeSigningKey,
        content: &Content<'_>,
    ) -> Result<Vec<u8>, CannotSign> {
        let Some(private) = &key.private else {
            return Ok(self.digest(content, &key.key).as_ref().to_vec());
        };
        let content = contiguous(content, &key.key);
        match private {
            Private::Ed25519(pair) => Ok(pair.sign(&content).as_ref().to_vec()),
            Private::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), &content)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| CannotSign::Key),
            // The library signs with SHA-256 at least: SHA-1 is only verified.
            Private::Rsa(_) if self.algorithm == Algorithm::RsaSha1 => Err(CannotSign::Key),
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = &public::RSA_PKCS1_SHA256;
                pair.sign(padding, &SystemRandom::new(), &content, &mut signature)
                    .map(|()| signature)
                    .map_err(|_| CannotSign::Key)
            }
        }
    }

    fn add_signature(&self, text: &str, signed: &mut Signed) -> Result<(), CannotSign> {
        let place = &self.signature.from[0];
        let text = match &self.signature.form {
            Form::Pairs { key, .. } => return self.add_entry(key, text, signed),
            Form::Whole { prefix } | Form::List { prefix, .. } => format!("{prefix}{text}"),
            Form::Auth { scheme } => format!("{scheme} {text}"),
        };
        match place {
            Location::Header(name) => signed.add(name, text),
            Location::Headers(stem) => signed.add(&format!("{stem}1"), text),
            Location::Json(path) => signed.set_json(path, Value::from(text))?,
            place => return Err(CannotSign::Place(place.to_string())),
        }
        Ok(())
    }

    /// Adds `key=text` to the signature header.
    fn add_entry(&self, key: &str, text: &str, signed: &mut Signed) -> Result<(), CannotSign> {
        let (Location::Header(name), Form::Pairs { separator, .. }) =
            (&self.signature.from[0], &self.signature.form)
        else {
            return Err(CannotSign::Place(self.signature.places()));
        };
        let named = |(found, _): &&mut (String, String)| found.eq_ignore_ascii_case(name);
        match signed.headers.iter_mut().find(named) {
            Some((_, value)) => {
                value.push(*separator);
                value.extend([key, "=", text]);
            }
            None => signed.add(name, format!("{key}={text}")),
        }
        Ok(())
    }
}

impl Signed {
    fn has(&self, name: &str) -> bool {
        let mut names = self.headers.iter();
        names.any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    fn add(&mut self, name: &str, value: String) {
        self.headers
            .retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
    }

    fn set_json(&mut self, path: &str, value: Value) -> Result<(), CannotSign> {
        let mut body: Value =
            serde_json::from_slice(&self.body).map_err(|_| CannotSign::NotAnObject)?;
        let mut member = &mut body;
        for step in path.split('.') {
            if member.is_null() {
                *member = Value::Object(serde_json::Map::new());
            }
            member = match member {
                Value::Object(members) => members.entry(step).or_insert(Value::Null),
                Value::Array(items) => {
                    let index = step.parse::<usize>().ok();
                    let item = index.and_then(|index| items.get_mut(index));
                    item.ok_or(CannotSign::NotAnObject)?
                }
                _ => return Err(CannotSign::NotAnObject),
            };
        }
        *member = value;
        self.body = serde_json::to_vec(&body).expect("every JSON value can be written");
        Ok(())
    }
}

//! Samples of what providers send: realistic, and signed as the provider signs.
//!
//! They are data, in the files of `samples/`. A sample is made into a request by [`Sample::make`],
//! which puts fresh ids and times into it, signs it by the provider's preset, and on demand spoils
//! it in one of the ways in which requests go wrong ([`Spoil`]).
//!
//! Not every provider can be imitated: where a certificate of the provider's own signs, nobody else
//! has its key.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use domain::Timestamp;
use serde::Deserialize;
use signature::scheme::{CannotSign, InvalidSecret, Preset, SchemeSigningKey, Signed, Unsigned};

mod key;
mod spoil;

pub use spoil::Spoil;

/// What a provider sends when something happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sample {
    /// The provider's preset.
    pub provider: String,
    /// What happened, as the provider calls it.
    pub event: String,
    /// The content type of the body.
    #[serde(default = "json")]
    pub content_type: String,
    /// Headers beside those of the signature.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The id that the provider gives the request, where it gives one in a header.
    #[serde(default = "uuid")]
    id: String,
    body: String,
    /// What the body ends with, where a text file cannot say so.
    #[serde(default)]
    ends_with: String,
}

fn json() -> String {
    "application/json".to_owned()
}

fn uuid() -> String {
    "{{uuid}}".to_owned()
}

/// What makes each request made of a sample another.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Random bytes; the same ones make the same request.
    pub seed: [u8; 16],
    /// When it is sent.
    pub at: Timestamp,
}

/// A request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The method, in capitals.
    pub method: &'static str,
    /// Every header but `Host` and those of the connection.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// How a sample is made into a request.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// The provider's preset.
    pub preset: &'a Preset,
    /// The secret; of a scheme with a public key the private one.
    pub secret: &'a str,
    /// Where it is sent to.
    pub url: &'a str,
    /// Ids and times.
    pub fresh: Fresh,
    /// Another body to send.
    pub body: Option<&'a [u8]>,
    /// What is to be wrong with it.
    pub spoil: Option<Spoil>,
}

/// A request cannot be made of a sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotMake {
    /// The provider has the only key.
    #[error("its requests are signed with a certificate whose key only the provider has")]
    Certificate,
    /// The secret is none of the scheme.
    #[error("the secret {0}")]
    Secret(#[from] InvalidSecret),
    /// The content cannot be signed.
    #[error("the request {0}")]
    Sign(#[from] CannotSign),
    /// What is to be wrong would not be seen.
    #[error("{0}")]
    Unseen(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sample: Vec<Sample>,
}

const FILES: [&str; 4] = [
    include_str!("samples/generic.toml"),
    include_str!("samples/content.toml"),
    include_str!("samples/platforms.toml"),
    include_str!("samples/more.toml"),
];

/// Returns every sample; the first of a provider is what it sends most.
pub fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| FILES.iter().flat_map(|text| read(text)).collect())
}

fn read(text: &str) -> Vec<Sample> {
    let file: File = toml::from_str(text).expect("the files are read by a test");
    file.sample
}

/// Returns the samples of a provider, the usual one first.
pub fn samples_of(provider: &str) -> impl Iterator<Item = &'static Sample> {
    let samples = samples().iter();
    let provider = provider.to_owned();
    samples.filter(move |sample| sample.provider == provider)
}

/// Returns the sample that is named as `PROVIDER` or `PROVIDER.EVENT`, the event in any case.
pub fn sample(name: &str) -> Option<&'static Sample> {
    let (provider, event) = name.split_once('.').unwrap_or((name, ""));
    let named = |sample: &&Sample| event.is_empty() || sample.event.eq_ignore_ascii_case(event);
    samples_of(provider).find(named)
}

impl Sample {
    /// Something that a provider sends whom nothing is known of: JSON, with an id and a time.
    pub fn custom(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            event: "test".to_owned(),
            content_type: json(),
            headers: BTreeMap::new(),
            id: uuid(),
            body: r#"{"id": "{{uuid}}", "type": "test", "at": "{{time}}"}"#.to_owned(),
            ends_with: String::new(),
        }
    }

    /// Makes a request of it.
    pub fn make(&self, making: &Making<'_>) -> Result<Ready, CannotMake> {
        let Making { preset, spoil, .. } = making;
        if let Some(spoil) = spoil {
            spoil.check(&preset.scheme)?;
        }
        let fresh = spoil.map_or(making.fresh, |spoil| {
            spoil.aged(making.fresh, &preset.scheme)
        });
        let unsigned = self.unsigned(making, fresh);
        let secret = spoil.and_then(|spoil| spoil.secret(&preset.scheme, making.secret));
        let secret = secret.as_deref().unwrap_or(making.secret);
        let key = key::signing(&preset.scheme, secret)?;
        let mut ready = unsigned.signed(making, &key)?;
        if let Some(spoil) = spoil {
            spoil.spoil(&mut ready, &preset.scheme, |body| {
                let other = Plain {
                    body: body.to_vec(),
                    ..unsigned.clone()
                };
                other.signed(making, &key)
            })?;
        }
        Ok(ready)
    }

    fn unsigned(&self, making: &Making<'_>, fresh: Fresh) -> Plain {
        let fill = |text: &str| filled(text, fresh, making.secret);
        let mut headers = vec![("Content-Type".to_owned(), self.content_type.clone())];
        let more = self.headers.iter();
        headers.extend(more.map(|(name, value)| (name.clone(), fill(value))));
        let body = making.body.map_or_else(
            || {
                let body = if self.content_type.contains("json") || self.body.starts_with('{') {
                    compact(&self.body)
                } else {
                    self.body.clone()
                };
                format!("{}{}", fill(body.trim_end()), self.ends_with).into_bytes()
            },
            <[u8]>::to_vec,
        );
        Plain {
            headers,
            body,
            id: fill(&self.id),
            at: fresh.at,
        }
    }
}

/// A request before it is signed.
#[derive(Clone)]
struct Plain {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    id: String,
    at: Timestamp,
}

impl Plain {
    fn signed(&self, making: &Making<'_>, key: &SchemeSigningKey) -> Result<Ready, CannotMake> {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let scheme = &making.preset.scheme;
        let unsigned = Unsigned {
            method: "POST",
            url: Some(making.url),
            headers: &headers,
            body: &self.body,
            id: &self.id,
            at: self.at,
        };
        let Signed { headers, body } = scheme.sign(key, &unsigned)?;
        Ok(Ready {
            method: "POST",
            headers,
            body,
        })
    }
}

/// Puts ids and times where the text asks for them.
fn filled(text: &str, fresh: Fresh, secret: &str) -> String {
    if !text.contains("{{") {
        return text.to_owned();
    }
    let hex = format!("{:032x}", u128::from_be_bytes(fresh.seed));
    let uuid = format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    );
    let number = u64::from_be_bytes(fresh.seed[..8].try_into().expect("there are sixteen"));
    let digits = (1_000_000_000_000 + number % 8_999_999_999_999).to_string();
    let at = fresh.at.to_string();
    let time = format!(
        "{}.{:03}Z",
        &at[..19],
        fresh.at.as_unix_millis().rem_euclid(1_000)
    );
    [
        ("{{hex}}", hex.as_str()),
        ("{{short}}", &hex[..14]),
        ("{{uuid}}", &uuid),
        ("{{digits}}", &digits),
        ("{{seconds}}", &fresh.at.as_unix_seconds().to_string()),
        ("{{millis}}", &fresh.at.as_unix_millis().to_string()),
        ("{{time}}", &time),
        ("{{secret}}", secret),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

/// JSON as programs write it: without the white space between its parts.
fn compact(text: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        match c {
            '"' if !escaped => in_string = !in_string,
            ' ' | '\n' | '\t' | '\r' if !in_string => continue,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests;

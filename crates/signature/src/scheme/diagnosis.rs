//! Why a signature does not hold, found by trying what usually goes wrong.
//!
//! It takes many tries, so it runs apart from the request's own path. It says what was different
//! and never what the secret is.

use domain::Timestamp;

use super::encoding::Encoding;
use super::key::{Key, KeyEncoding};
use super::location::Location;
use super::preset::presets;
use super::refused::Refused;
use super::request::Request;
use super::respell::spellings;
use super::signature::Form;
use super::timestamp::TimestampUnit;
use super::verify::{Needs, Verdict};
use super::{Algorithm, Scheme};

/// The longest body of a request that is diagnosed with everything there is. Each try reads the
/// whole of it, and there are some hundred; of a longer one only secrets and clocks are tried.
pub const BODY_LEN_DIAGNOSED: usize = 256 << 10;

/// The most headers of a request in which the signature is looked for.
const HEADERS_TRIED: usize = 64;

/// The secrets that the signature may have been made with.
#[derive(Clone, Copy)]
pub struct Suspect<'a> {
    /// The secrets of the source, as they are written.
    pub secrets: &'a [&'a str],
    /// Other secrets that the person who reads the diagnosis may know of.
    pub others: &'a [Other<'a>],
}

/// A secret that is not of this source.
#[derive(Clone, Copy)]
pub struct Other<'a> {
    /// What it is, as in "the previous secret".
    pub label: &'a str,
    /// The secret, as it is written.
    pub secret: &'a str,
}

/// What is probably wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// A short name that never changes.
    pub slug: &'static str,
    /// A sentence for people.
    pub text: String,
}

impl Cause {
    fn new(slug: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { slug, text }
    }
}

/// Says what is probably wrong with a request that was refused; `None` where nothing that usually
/// goes wrong explains it.
pub fn diagnose(
    scheme: &Scheme,
    request: &Request<'_>,
    suspect: &Suspect<'_>,
    refused: &Refused,
    now: Timestamp,
) -> Option<Cause> {
    let case = Case {
        scheme: scheme.clone().with_tolerance(None),
        request: *request,
        suspect: *suspect,
        now,
    };
    match refused {
        Refused::TooOld { .. } | Refused::TooNew { .. } | Refused::TimestampMalformed { .. } => {
            case.clock(refused)
        }
        Refused::SignatureMissing { .. } | Refused::TimestampMissing { .. } => case.elsewhere(),
        Refused::SignatureMalformed { .. } if case.is_long() => None,
        Refused::SignatureMalformed { .. } => case.spelling().or_else(|| case.elsewhere()),
        Refused::SignatureMismatch | Refused::BodyNotCovered { .. } => case.mismatch(),
        _ => None,
    }
}

struct Case<'a> {
    /// The scheme, without a tolerance: a diagnosis looks at one thing at a time.
    scheme: Scheme,
    request: Request<'a>,
    suspect: Suspect<'a>,
    now: Timestamp,
}

impl Case<'_> {
    fn mismatch(&self) -> Option<Cause> {
        let by_key = || self.other_secret().or_else(|| self.secret_spelling());
        if self.is_long() {
            return by_key();
        }
        let by_body = || self.body();
        let by_place = || self.url().or_else(|| self.spelling());
        let by_scheme = || self.algorithm().or_else(|| self.elsewhere());
        by_key()
            .or_else(by_body)
            .or_else(by_place)
            .or_else(by_scheme)
            .or_else(|| self.compressed())
    }

    fn is_long(&self) -> bool {
        self.request.body.len() > BODY_LEN_DIAGNOSED
    }

    /// Says whether a request is right by a scheme and one of the source's secrets.
    fn any(&self, scheme: &Scheme, request: &Request<'_>) -> bool {
        let mut secrets = self.suspect.secrets.iter();
        secrets.any(|secret| self.holds(scheme, request, secret))
    }

    fn holds(&self, scheme: &Scheme, request: &Request<'_>, secret: &str) -> bool {
        Key::parse(scheme, secret).is_ok_and(|key| {
            let verdict = scheme.verify(request, &[key], self.now);
            matches!(verdict, Verdict::Verified(_))
        })
    }

    fn clock(&self, refused: &Refused) -> Option<Cause> {
        let unit = self.scheme.timestamp.as_ref()?.unit;
        if let Some(cause) = self.unit(unit) {
            return Some(cause);
        }
        let right = self.any(&self.scheme, &self.request);
        let (seconds, direction) = match refused {
            Refused::TooOld { seconds } => (*seconds, "behind"),
            Refused::TooNew { seconds } => (*seconds, "ahead of"),
            _ => return None,
        };
        if !right {
            return self.mismatch().or_else(|| {
                Some(Cause::new(
                    "signature_mismatch",
                    "apart from its time, the signature does not match either",
                ))
            });
        }
        let hours = (seconds + 150) / 3_600;
        let zone = (1..=14).contains(&hours) && (seconds - hours * 3_600).abs() <= 150;
        let hint = if zone {
            format!("almost exactly {hours} h: one of the clocks is set for another time zone")
        } else {
            "a clock is wrong, or the request was held up or repeated".to_owned()
        };
        let text = format!(
            "the signature is right, and its time is {seconds} s {direction} this clock: {hint}"
        );
        Some(Cause::new("clock", text))
    }

    /// Tries to read the timestamp in another unit: it is then near to now.
    fn unit(&self, unit: TimestampUnit) -> Option<Cause> {
        use TimestampUnit::{Milliseconds, Seconds};

        const NEAR: u32 = 86_400;
        let (other, text) = match unit {
            Seconds => (Milliseconds, "milliseconds where this scheme has seconds"),
            Milliseconds => (Seconds, "seconds where this scheme has milliseconds"),
            _ => return None,
        };
        let mut scheme = self.scheme.clone().with_tolerance(Some(NEAR));
        if let Some(rule) = &mut scheme.timestamp {
            rule.unit = other;
        }
        let found = self.any(&scheme, &self.request);
        found.then(|| Cause::new("timestamp_unit", format!("the timestamp is in {text}")))
    }

    fn other_secret(&self) -> Option<Cause> {
        let mut others = self.suspect.others.iter();
        let found = others.find(|other| self.holds(&self.scheme, &self.request, other.secret))?;
        let text = format!("the signature matches {}", found.label);
        Some(Cause::new("other_secret", text))
    }

    /// The secret was copied with something around it, or is to be read in another way.
    fn secret_spelling(&self) -> Option<Cause> {
        if self.scheme.algorithm.is_public_key() {
            return None;
        }
        for secret in self.suspect.secrets {
            let trimmed = secret.trim().trim_matches(['"', '\'']);
            if trimmed != *secret && self.holds(&self.scheme, &self.request, trimmed) {
                let text = "the secret has white space or quotes around it";
                return Some(Cause::new("secret_surrounded", text));
            }
            for ending in ["\n", "\r\n", " "] {
                let longer = format!("{secret}{ending}");
                if self.holds(&self.scheme, &self.request, &longer) {
                    let text = "the sender's secret has white space at its end";
                    return Some(Cause::new("secret_surrounded", text));
                }
            }
        }
        self.secret_encoding()
    }

    fn secret_encoding(&self) -> Option<Cause> {
        for encoding in KeyEncoding::SHARED {
            for prefix in [None, Some("whsec_".to_owned())] {
                let mut scheme = self.scheme.clone();
                scheme.key.encoding = encoding;
                scheme.key.prefix = prefix;
                if scheme.key != self.scheme.key && self.any(&scheme, &self.request) {
                    let found = scheme.key.encoding.title();
                    let expected = self.scheme.key.encoding.title();
                    let text = match &scheme.key.prefix {
                        None => format!(
                            "the signature holds when the whole secret is read as \
                             {found}; this scheme reads it as {expected}"
                        ),
                        Some(prefix) => format!(
                            "the signature holds when the secret is read as \
                             {found} without `{prefix}`; this scheme reads it as {expected}"
                        ),
                    };
                    return Some(Cause::new("secret_encoding", text));
                }
            }
        }
        None
    }

    fn body(&self) -> Option<Cause> {
        let found = spellings(self.request.body).into_iter().find(|spelling| {
            let body = &spelling.body;
            self.any(
                &self.scheme,
                &Request {
                    body,
                    ..self.request
                },
            )
        })?;
        Some(Cause::new("body_changed", found.what))
    }

    fn url(&self) -> Option<Cause> {
        let url = self
            .request
            .url
            .filter(|_| self.scheme.signed.needs_url())?;
        let (scheme, rest) = url.split_once("://")?;
        let other_scheme = if scheme == "https" { "http" } else { "https" };
        let path = url.split_once('?').map_or(url, |(path, _)| path);
        let candidates = [
            (
                format!("{other_scheme}://{rest}"),
                "with the other of `http` and `https`",
            ),
            (format!("{url}/"), "with a slash at its end"),
            (
                url.trim_end_matches('/').to_owned(),
                "without the slash at its end",
            ),
            (path.to_owned(), "without its query"),
            (url.to_ascii_lowercase(), "in lower case"),
        ];
        let (_, how) = candidates.into_iter().find(|(candidate, _)| {
            let request = Request {
                url: Some(candidate),
                ..self.request
            };
            candidate != url && self.any(&self.scheme, &request)
        })?;
        let text = format!("the signature holds for the public URL {how}: correct `publicUrl`");
        Some(Cause::new("url", text))
    }

    /// The signature is written in another way.
    fn spelling(&self) -> Option<Cause> {
        if self.scheme.encoding == Encoding::Text {
            return None;
        }
        let whole = Form::Whole {
            prefix: String::new(),
        };
        let expected = self.scheme.encoding;
        for encoding in Encoding::ALL {
            let mut scheme = self.scheme.clone();
            scheme.encoding = encoding;
            if encoding != expected && self.any(&scheme, &self.request) {
                let (found, expected) = (encoding.title(), expected.title());
                let text = format!(
                    "the signature is right and written in {found}; this scheme has {expected}"
                );
                return Some(Cause::new("signature_encoding", text));
            }
            scheme.signature.form = whole.clone();
            if scheme.check().is_ok()
                && scheme.signature != self.scheme.signature
                && self.any(&scheme, &self.request)
            {
                let pattern = self.scheme.signature.pattern(expected);
                let text = format!(
                    "the signature is right and stands alone; this scheme has it as `{pattern}`"
                );
                return Some(Cause::new("signature_prefix", text));
            }
        }
        None
    }

    fn algorithm(&self) -> Option<Cause> {
        use Algorithm::{HmacSha1, HmacSha256, HmacSha384, HmacSha512};

        let current = self.scheme.algorithm;
        let all = [HmacSha1, HmacSha256, HmacSha384, HmacSha512];
        if !all.contains(&current) {
            return None;
        }
        let found = all.into_iter().find(|algorithm| {
            let mut scheme = self.scheme.clone();
            scheme.algorithm = *algorithm;
            *algorithm != current && self.any(&scheme, &self.request)
        })?;
        let (found, current) = (found.title(), current.title());
        let text = format!("the signature was made with {found}; this scheme has {current}");
        Some(Cause::new("algorithm", text))
    }

    /// The signature stands in another header, or the request is of another provider.
    fn elsewhere(&self) -> Option<Cause> {
        if self.is_long() {
            return self.foreign();
        }
        self.other_header()
            .or_else(|| self.other_preset())
            .or_else(|| self.foreign())
    }

    fn other_header(&self) -> Option<Cause> {
        let mut names = self.request.headers.iter().take(HEADERS_TRIED);
        let found = names.find(|(name, _)| {
            let mut scheme = self.scheme.clone();
            scheme.signature.from = vec![Location::Header((*name).to_owned())];
            scheme.signature != self.scheme.signature
                && !self.is_own_header(name)
                && self.any(&scheme, &self.request)
        })?;
        let (places, name) = (self.scheme.signature.places(), found.0);
        let text =
            format!("the signature is right and stands in the header `{name}`, not in {places}");
        Some(Cause::new("other_header", text))
    }

    fn is_own_header(&self, name: &str) -> bool {
        let mut places = self.scheme.signature.from.iter();
        places.any(|place| matches!(place, Location::Header(own) if own.eq_ignore_ascii_case(name)))
    }

    /// Another provider's scheme, with the secret of this source.
    fn other_preset(&self) -> Option<Cause> {
        let found = presets().iter().find(|preset| {
            let scheme = preset.scheme.clone().with_tolerance(None);
            scheme != self.scheme
                && scheme.algorithm != Algorithm::Token
                && self.any(&scheme, &self.request)
        })?;
        let (title, name) = (&found.title, &found.name);
        let text = format!("the signature is right as one of {title}: use the scheme `{name}`");
        Some(Cause::new("other_scheme", text))
    }

    /// A request that has another provider's signature header, with whatever secret.
    fn foreign(&self) -> Option<Cause> {
        let has_own = self.scheme.signature.from.iter().any(|place| {
            let names = place.header_names(self.request);
            names
                .iter()
                .any(|name| self.request.all(name).next().is_some())
        });
        if has_own {
            return None;
        }
        let found = presets().iter().find_map(|preset| {
            let place = preset.scheme.signature.from.first()?;
            let Location::Header(name) = place else {
                return None;
            };
            let known = !name.eq_ignore_ascii_case("authorization");
            (known && self.request.all(name).next().is_some()).then_some((preset, name))
        });
        let (preset, name) = found?;
        let (title, scheme) = (&preset.title, &preset.name);
        let text = format!(
            "the request has the header `{name}`, as those of {title} have: is it one of theirs \
             (`{scheme}`)?"
        );
        Some(Cause::new("other_provider", text))
    }

    fn compressed(&self) -> Option<Cause> {
        let compressed = self.request.body.starts_with(&[0x1f, 0x8b]);
        compressed.then(|| {
            let text = "the body is compressed; the signature may be that of the body before it";
            Cause::new("compressed", text)
        })
    }
}

impl Verdict {
    /// The URL that has to be fetched first, if that is the verdict.
    pub fn needs(&self) -> Option<&str> {
        match self {
            Self::Needs(Needs::Certificate { url }) => Some(url),
            _ => None,
        }
    }
}

//! What can be wrong with a request, so that one can see it refused.

use std::time::Duration;

use signature::scheme::{KeyEncoding, Location, Scheme};

use super::{CannotMake, Fresh, Ready};

/// How a request is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// Signed with another secret.
    BadSignature,
    /// Signed too long ago.
    Stale,
    /// Where the signature should be is something that is none.
    Malformed,
    /// The body has been changed after it was signed.
    Tampered,
}

impl Spoil {
    /// Every way in which a request can be spoiled.
    pub const ALL: [Self; 4] = [
        Self::BadSignature,
        Self::Stale,
        Self::Malformed,
        Self::Tampered,
    ];

    /// Refuses what the scheme would not notice.
    pub fn check(self, scheme: &Scheme) -> Result<(), CannotMake> {
        let why = match self {
            Self::Stale if scheme.timestamp().is_none() => {
                "the provider sends no time, so none of its requests is stale"
            }
            Self::Tampered if !scheme.signed().covers_body() => {
                "the provider does not sign the body, so nobody would notice"
            }
            _ => return Ok(()),
        };
        Err(CannotMake::Unseen(why))
    }

    /// Says whether the scheme refuses such a request by itself; where not, a source can be told
    /// to, by a tolerance of its own.
    pub fn is_refused(self, scheme: &Scheme) -> bool {
        let tolerance = scheme.timestamp().and_then(|rule| rule.tolerance);
        self.check(scheme).is_ok() && (self != Self::Stale || tolerance.is_some())
    }

    /// When a stale request was made: five minutes more ago than the scheme allows.
    pub(super) fn aged(self, fresh: Fresh, scheme: &Scheme) -> Fresh {
        if self != Self::Stale {
            return fresh;
        }
        let tolerance = scheme.timestamp().and_then(|rule| rule.tolerance);
        let age = Duration::from_secs(u64::from(tolerance.unwrap_or(86_400))) + MARGIN;
        Fresh {
            at: fresh.at.minus(age),
            ..fresh
        }
    }

    /// Another secret of the same form, where both sides have the same one.
    pub(super) fn secret(self, scheme: &Scheme, secret: &str) -> Option<String> {
        if self != Self::BadSignature || scheme.algorithm().is_public_key() {
            return None;
        }
        let form = scheme.key_form();
        if form.encoding == KeyEncoding::Utf8 {
            return Some(format!("{secret}-other"));
        }
        let prefix = form.prefix.as_deref().unwrap_or_default();
        let bare = secret.strip_prefix(prefix).unwrap_or(secret);
        let other = if bare.starts_with(['A', 'a']) {
            "B"
        } else {
            "A"
        };
        let rest = bare.get(1..).unwrap_or_default();
        Some(format!(
            "{}{other}{rest}",
            &secret[..secret.len() - bare.len()]
        ))
    }

    /// Spoils a request that has been signed. `sign` signs another body.
    pub(super) fn spoil(
        self,
        ready: &mut Ready,
        scheme: &Scheme,
        sign: impl FnOnce(&[u8]) -> Result<Ready, CannotMake>,
    ) -> Result<(), CannotMake> {
        match self {
            Self::Tampered => ready.body = tampered(ready),
            Self::Malformed => malform(ready, scheme),
            // Nobody can guess another private key: the signature is that of something else.
            Self::BadSignature if scheme.algorithm().is_public_key() => {
                let body = tampered(ready);
                ready.headers = sign(&body)?.headers;
            }
            Self::BadSignature | Self::Stale => {}
        }
        Ok(())
    }
}

const MARGIN: Duration = Duration::from_mins(5);

fn tampered(ready: &Ready) -> Vec<u8> {
    let mut body = ready.body.clone();
    let is_form = ready.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type") && value.contains("form-urlencoded")
    });
    match body.iter().position(|byte| *byte == b'{') {
        _ if is_form => body.extend_from_slice(b"&tampered=true"),
        Some(brace) => {
            let after = brace + 1..;
            let empty = body[after.clone()].trim_ascii_start().first() == Some(&b'}');
            let member: &[u8] = if empty {
                b"\"tampered\":true"
            } else {
                b"\"tampered\":true,"
            };
            body.splice(after.start..after.start, member.iter().copied());
        }
        None => body.extend_from_slice(b" "),
    }
    body
}

fn malform(ready: &mut Ready, scheme: &Scheme) {
    const GARBAGE: &str = "garbage";

    for place in scheme.signature().from() {
        let has_name = |found: &str| match place {
            Location::Header(name) => found.eq_ignore_ascii_case(name),
            Location::Headers(stem) => found
                .get(..stem.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(stem)),
            _ => false,
        };
        let named = ready.headers.iter_mut().filter(|(name, _)| has_name(name));
        named.for_each(|(_, value)| GARBAGE.clone_into(value));
        if let Location::Json(path) = place
            && let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&ready.body)
        {
            let pointer = format!("/{}", path.replace('.', "/"));
            if let Some(member) = body.pointer_mut(&pointer) {
                *member = GARBAGE.into();
                ready.body = body.to_string().into_bytes();
            }
        }
    }
}

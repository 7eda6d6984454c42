//! Decides whether a request is the provider's.

use std::borrow::Cow;

use aws_lc_rs::{constant_time, digest, hmac, signature as public};
use domain::Timestamp;

use super::certificate;
use super::key::Key;
use super::location::Location;
use super::refused::Refused;
use super::request::{Request, View};
use super::signature::{PUBLIC_KEY_SIGNATURES_MAX, places};
use super::template::{Content, Filling, Part, Piece};
use super::timestamp::TimestampRule;
use super::{Algorithm, Scheme};
use crate::check_webhook_id;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the provider's.
    Verified(Verified),
    /// It is not trusted.
    Refused(Refused),
    /// Something has to be fetched first; then ask again, with it as [`Request::fetched`].
    Needs(Needs),
}

/// Something that has to be fetched before there can be a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The certificate that signs, in PEM or DER. The URL has been checked to be the provider's.
    Certificate {
        /// Where it is.
        url: String,
    },
}

/// What is known of a request that is the provider's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Which of the keys signed, counted from zero.
    pub key: usize,
    /// The ids that the request has, the best for deduplication first.
    pub ids: Vec<Id>,
    /// The event type: letters, digits, `-`, `_` and full stops, at most 256 of them.
    pub event: Option<String>,
    /// When it was signed, where the provider says so.
    pub signed_at: Option<Timestamp>,
}

/// An id of a request, as its provider gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// The id.
    pub value: String,
    /// Whether the signature covers it, so that nobody can have put another in its place.
    pub signed: bool,
}

/// The longest id that is taken over; a longer one is none.
const ID_LEN_MAX: usize = 256;
/// The longest event type.
const EVENT_LEN_MAX: usize = 256;

impl Scheme {
    /// Decides about a request; any of `keys` may have signed it.
    ///
    /// Signatures and tokens are compared in constant time. What costs little is checked first, so
    /// that most forgeries are refused without any cryptography.
    pub fn verify(&self, request: &Request<'_>, keys: &[Key], now: Timestamp) -> Verdict {
        match self.decide(*request, keys, now) {
            Ok(verdict) => verdict,
            Err(refused) => Verdict::Refused(refused),
        }
    }

    fn decide(
        &self,
        request: Request<'_>,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Verdict, Refused> {
        if keys.is_empty() {
            return Err(Refused::NoKey);
        }
        let view = View::new(request, &self.signature);
        let signatures = self.signature.decoded(&view, self.encoding)?;
        let early = if self.reads_time_late() {
            None
        } else {
            self.signed_at(&view, now)?
        };
        let certificate = match self.certified(&view)? {
            Some(Certified::Missing(needs)) => return Ok(Verdict::Needs(needs)),
            Some(Certified::Key(key)) => Some(key),
            None => None,
        };
        let id = self.signed_id(&view)?;
        let candidates = Candidates {
            keys,
            certificate: certificate.as_deref(),
            signatures: &signatures,
        };
        let timestamp = early.as_ref().map(|(text, _)| text);
        let mut key = self.matching(&view, &candidates, timestamp, id.as_ref())?;
        if let Some(place) = &self.audience {
            key = addressed(place, &view, keys)?;
        }
        let signed_at = match early {
            None if self.reads_time_late() => self.signed_at(&view, now)?,
            early => early,
        };
        Ok(Verdict::Verified(Verified {
            key,
            ids: self.found_ids(&view)?,
            event: self.event_type(&view),
            signed_at: signed_at.map(|(_, time)| time),
        }))
    }

    /// A time in the body that is signed as part of it is looked for after the signature has been
    /// checked, so that nobody makes us parse what is not the provider's.
    fn reads_time_late(&self) -> bool {
        let in_body = |rule: &TimestampRule| rule.from.iter().all(Location::is_in_body);
        self.timestamp.as_ref().is_some_and(in_body)
            && !self.signed.parts().contains(&Part::Timestamp)
            && !self
                .signed
                .parts()
                .iter()
                .any(|part| part.place().is_some())
    }

    fn signed_at<'a>(
        &self,
        view: &View<'a>,
        now: Timestamp,
    ) -> Result<Option<(Cow<'a, str>, Timestamp)>, Refused> {
        let (Some(rule), Some(text)) = (&self.timestamp, self.timestamp_text(view)?) else {
            return Ok(None);
        };
        let time = rule.read(&text)?;
        rule.check(time, now)?;
        Ok(Some((text, time)))
    }

    fn timestamp_text<'a>(&self, view: &View<'a>) -> Result<Option<Cow<'a, str>>, Refused> {
        let Some(rule) = &self.timestamp else {
            return Ok(None);
        };
        for place in &rule.from {
            if let Some(text) = place.find(view)? {
                return Ok(Some(text));
            }
        }
        if rule.tolerance.is_none() && !self.signed.parts().contains(&Part::Timestamp) {
            return Ok(None);
        }
        Err(Refused::TimestampMissing {
            place: places(&rule.from),
        })
    }

    /// The id where it is signed by itself. A full stop in it would let bytes move between the id
    /// and what is signed after it.
    fn signed_id<'a>(&self, view: &View<'a>) -> Result<Option<Cow<'a, str>>, Refused> {
        if !self.signed.parts().contains(&Part::Id) {
            return Ok(None);
        }
        for place in &self.ids {
            if let Some(id) = place.find(view)? {
                check_webhook_id(&id)?;
                return Ok(Some(id));
            }
        }
        Err(Refused::PartMissing {
            place: places(&self.ids),
        })
    }

    fn certified(&self, view: &View<'_>) -> Result<Option<Certified>, Refused> {
        let Some(rule) = &self.certificate else {
            return Ok(None);
        };
        let url = rule.from.find(view)?.ok_or_else(|| Refused::PartMissing {
            place: rule.from.to_string(),
        })?;
        if !rule.allows(&url) {
            return Err(Refused::CertificateUrl);
        }
        match view.request.fetched.filter(|fetched| fetched.url == url) {
            None => Ok(Some(Certified::Missing(Needs::Certificate {
                url: url.into_owned(),
            }))),
            Some(fetched) => certificate::public_key(fetched.bytes)
                .map(|key| Some(Certified::Key(key)))
                .ok_or(Refused::CertificateMalformed),
        }
    }

    /// Returns which of the keys has signed.
    fn matching<'a>(
        &'a self,
        view: &View<'a>,
        candidates: &Candidates<'_>,
        timestamp: Option<&Cow<'a, str>>,
        id: Option<&Cow<'a, str>>,
    ) -> Result<usize, Refused> {
        let costly = self.algorithm.is_public_key();
        if costly && candidates.signatures.len() > PUBLIC_KEY_SIGNATURES_MAX {
            return Err(Refused::TooManySignatures);
        }
        for variant in 0..self.signed.variants() {
            let filling = Filling {
                timestamp: timestamp.cloned(),
                id: id.cloned(),
                variant,
            };
            let content = self.signed.fill(view, &filling)?;
            for (index, key) in candidates.keys.iter().enumerate() {
                if self.holds(&content, key, candidates) {
                    return Ok(index);
                }
            }
        }
        Err(Refused::SignatureMismatch)
    }

    fn holds(&self, content: &Content<'_>, key: &Key, candidates: &Candidates<'_>) -> bool {
        let mut signatures = candidates.signatures.iter();
        if self.algorithm.is_public_key() {
            let content = contiguous(content, key);
            let key = candidates.certificate.unwrap_or(&key.bytes);
            return signatures.any(|found| self.accepts(key, &content, found));
        }
        let expected = self.digest(content, key);
        signatures
            .any(|found| constant_time::verify_slices_are_equal(expected.as_ref(), found).is_ok())
    }

    fn accepts(&self, key: &[u8], content: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn public::VerificationAlgorithm = match self.algorithm {
            Algorithm::Ed25519 => &public::ED25519,
            Algorithm::EcdsaP256 => &public::ECDSA_P256_SHA256_ASN1,
            Algorithm::RsaSha1 => &public::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            _ => &public::RSA_PKCS1_2048_8192_SHA256,
        };
        public::UnparsedPublicKey::new(algorithm, key)
            .verify(content, signature)
            .is_ok()
    }

    /// What the signature must be, where both sides have the same key.
    pub(super) fn digest<'k>(&self, content: &Content<'_>, key: &'k Key) -> Digest<'k> {
        if let Some(prepared) = &key.hmac {
            let mut context = hmac::Context::with_key(prepared);
            for piece in content {
                context.update(piece.bytes(key));
            }
            return Digest::Hmac(context.sign());
        }
        if self.algorithm == Algorithm::Token {
            return Digest::Token(&key.bytes);
        }
        let mut context = digest::Context::new(&digest::SHA256);
        for piece in content {
            context.update(piece.bytes(key));
        }
        Digest::Hash(context.finish())
    }

    /// An id that comes twice refuses the request: without an id a repeat would act once more.
    pub(super) fn found_ids(&self, view: &View<'_>) -> Result<Vec<Id>, Refused> {
        let by_itself = self.signed.parts().contains(&Part::Id);
        let mut ids = Vec::new();
        for place in &self.ids {
            let usable = place
                .find(view)?
                .filter(|id| !id.is_empty() && id.len() <= ID_LEN_MAX);
            if let Some(value) = usable {
                // Of several headers that may hold the id, the first that there is was signed.
                let another = by_itself && !ids.is_empty() && !place.is_in_body();
                ids.push(Id {
                    value: value.into_owned(),
                    signed: self.covers(place) && !another,
                });
            }
        }
        Ok(ids)
    }

    /// The event type: the texts at its places, joined by full stops, in the characters that an
    /// event type may have.
    pub(super) fn event_type(&self, view: &View<'_>) -> Option<String> {
        let places = self.event.iter();
        let texts = places.filter_map(|place| place.find(view).ok().flatten());
        let joined = texts
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(".");
        event_name(&joined)
    }
}

/// Returns a text in the characters that an event type may have; `None` for an empty one.
pub fn event_name(text: &str) -> Option<String> {
    let plain = |c: char| match c {
        '/' | ':' => '.',
        c if c.is_ascii_alphanumeric() || "-_.".contains(c) => c,
        _ => '_',
    };
    let event: String = text.chars().map(plain).take(EVENT_LEN_MAX).collect();
    Some(event).filter(|event| !event.is_empty())
}

enum Certified {
    Missing(Needs),
    Key(Vec<u8>),
}

struct Candidates<'a> {
    keys: &'a [Key],
    certificate: Option<&'a [u8]>,
    signatures: &'a [Vec<u8>],
}

/// A signature that both sides can make.
pub(super) enum Digest<'k> {
    Hmac(hmac::Tag),
    Hash(digest::Digest),
    Token(&'k [u8]),
}

impl AsRef<[u8]> for Digest<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Hmac(tag) => tag.as_ref(),
            Self::Hash(hash) => hash.as_ref(),
            Self::Token(token) => token,
        }
    }
}

impl Piece<'_> {
    fn bytes<'b>(&'b self, key: &'b Key) -> &'b [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Secret => &key.bytes,
        }
    }
}

/// The content in one piece, as algorithms with a public key want it.
pub(super) fn contiguous(content: &Content<'_>, key: &Key) -> Vec<u8> {
    let pieces: Vec<_> = content.iter().map(|piece| piece.bytes(key)).collect();
    pieces.concat()
}

/// A provider that signs for everybody has signed for us only where it names us: returns which key
/// is the name in the request.
fn addressed(place: &Location, view: &View<'_>, keys: &[Key]) -> Result<usize, Refused> {
    let found = place.find(view)?.unwrap_or_default();
    let equal =
        |key: &Key| constant_time::verify_slices_are_equal(found.as_bytes(), &key.bytes).is_ok();
    let other = || Refused::OtherAudience {
        place: place.to_string(),
    };
    keys.iter().position(equal).ok_or_else(other)
}

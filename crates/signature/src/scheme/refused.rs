//! Why a request was refused.

/// Why a request was refused, in words that tell a person where to look.
///
/// No variant holds any part of a secret or of a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no key, so nothing can be trusted.
    #[error("there is no secret or key to verify with")]
    NoKey,
    /// No signature where the scheme has one.
    #[error("the signature is missing: there is nothing in {place}")]
    SignatureMissing {
        /// Where it was looked for.
        place: String,
    },
    /// There is something, and it is no signature of this scheme.
    #[error("{place} holds no well-formed signature: {expected} is expected")]
    SignatureMalformed {
        /// Where it was looked for.
        place: String,
        /// What would be one.
        expected: String,
    },
    /// More signatures than anybody sends.
    #[error("there are more signatures than a request may have")]
    TooManySignatures,
    /// Well-formed signatures, none of which is right.
    #[error(
        "no signature matches: it was made with another secret, or what it covers was changed \
         after signing"
    )]
    SignatureMismatch,
    /// No timestamp where the scheme has one.
    #[error("the timestamp is missing: there is nothing in {place}")]
    TimestampMissing {
        /// Where it was looked for.
        place: String,
    },
    /// A timestamp in another form.
    #[error("the timestamp is not {expected}")]
    TimestampMalformed {
        /// What would be one.
        expected: &'static str,
    },
    /// Signed longer ago than the tolerance.
    #[error(
        "the timestamp is {seconds} s in the past: a clock is wrong, the request was held up on \
         its way, or somebody repeats an old one"
    )]
    TooOld {
        /// How far the timestamp is behind the clock.
        seconds: i64,
    },
    /// Signed further in the future than the tolerance.
    #[error("the timestamp is {seconds} s in the future: a clock is wrong")]
    TooNew {
        /// How far the timestamp is ahead of the clock.
        seconds: i64,
    },
    /// A header that must come once comes twice.
    #[error("the header `{name}` comes more than once")]
    HeaderRepeated {
        /// Its name.
        name: String,
    },
    /// A header longer than any that is looked at.
    #[error("the header `{name}` is longer than 8 KiB")]
    HeaderTooLong {
        /// Its name.
        name: String,
    },
    /// A header with bytes that no text has.
    #[error("the header `{name}` holds control characters or is not ASCII")]
    HeaderMalformed {
        /// Its name.
        name: String,
    },
    /// Something that is signed is not there.
    #[error("{place}, which is signed, is missing")]
    PartMissing {
        /// What was looked for.
        place: String,
    },
    /// Something that must be there once is there twice.
    #[error("{place} is there more than once")]
    PartRepeated {
        /// What was looked for.
        place: String,
    },
    /// An id that no signed message may have.
    #[error("the id {0}")]
    IdInvalid(#[from] crate::InvalidWebhookId),
    /// The URL is signed, and nobody said what it is.
    #[error("the public URL is part of what is signed, and it is not known")]
    UrlUnknown,
    /// The signature says nothing about the body.
    #[error("the body is not covered by the signature: {why}")]
    BodyNotCovered {
        /// How that comes.
        why: &'static str,
    },
    /// More form fields than are sorted.
    #[error("the form has more fields than a signed form may have")]
    TooManyFields,
    /// Signed by the provider, and meant for somebody else.
    #[error("the request is signed, and for somebody else: {place} is another one than configured")]
    OtherAudience {
        /// Where it says whom it is for.
        place: String,
    },
    /// The certificate's URL is not one of the provider's.
    #[error("the certificate's URL is not one of the provider's, and was not fetched")]
    CertificateUrl,
    /// What was fetched is no certificate.
    #[error("what was fetched from the certificate's URL is no certificate")]
    CertificateMalformed,
}

impl Refused {
    /// Returns the short name of the reason; it never changes.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::SignatureMissing { .. } => "signature_missing",
            Self::SignatureMalformed { .. } => "signature_malformed",
            Self::TooManySignatures => "too_many_signatures",
            Self::SignatureMismatch => "signature_mismatch",
            Self::TimestampMissing { .. } => "timestamp_missing",
            Self::TimestampMalformed { .. } => "timestamp_malformed",
            Self::TooOld { .. } => "timestamp_too_old",
            Self::TooNew { .. } => "timestamp_too_new",
            Self::HeaderRepeated { .. } => "header_repeated",
            Self::HeaderTooLong { .. } => "header_too_long",
            Self::HeaderMalformed { .. } => "header_malformed",
            Self::PartMissing { .. } => "part_missing",
            Self::PartRepeated { .. } => "part_repeated",
            Self::IdInvalid(_) => "id_invalid",
            Self::UrlUnknown => "url_unknown",
            Self::BodyNotCovered { .. } => "body_not_covered",
            Self::TooManyFields => "too_many_fields",
            Self::OtherAudience { .. } => "other_audience",
            Self::CertificateUrl => "certificate_url",
            Self::CertificateMalformed => "certificate_malformed",
        }
    }

    /// Says whether the request is at fault in its form (400), rather than not trusted (401).
    pub const fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::HeaderRepeated { .. }
                | Self::HeaderTooLong { .. }
                | Self::HeaderMalformed { .. }
                | Self::PartRepeated { .. }
        )
    }
}

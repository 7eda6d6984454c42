//! Faults planted on purpose.
//!
//! A simulator that finds nothing may be blind. Each of these is a mistake that a store or an
//! engine could have; a simulator that lets it pass is broken.

use std::str::FromStr;

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// A takeover keeps the epoch, so that a dead process can still record.
    KeptEpoch,
    /// Now and then a publish is answered before one of its deliveries is stored.
    LostDelivery,
    /// Successes are said to be recorded and are not.
    ForgottenSuccess,
    /// Retries are stored as due at once.
    EarlyRetry,
    /// A claim hands out a payload with one byte changed.
    ChangedByte,
    /// Requests are stored without what repeats of them are noticed by.
    ForgottenMark,
}

impl Canary {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::KeptEpoch,
        Self::LostDelivery,
        Self::ForgottenSuccess,
        Self::EarlyRetry,
        Self::ChangedByte,
        Self::ForgottenMark,
    ];

    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeptEpoch => "kept-epoch",
            Self::LostDelivery => "lost-delivery",
            Self::ForgottenSuccess => "forgotten-success",
            Self::EarlyRetry => "early-retry",
            Self::ChangedByte => "changed-byte",
            Self::ForgottenMark => "forgotten-mark",
        }
    }
}

impl FromStr for Canary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name);
        let found = Self::ALL.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("is none of {}", names.join(", ")))
    }
}

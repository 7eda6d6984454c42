//! What has become of a message at one destination.

/// The stored state of a delivery.
///
/// `sending` is derived from memory and never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryState {
    /// Accepted by the destination.
    Success,
    /// Waiting for its first or next attempt.
    Pending,
    /// Dead-lettered: no attempt follows by itself.
    Fail,
    /// Given up because the endpoint was disabled or deleted.
    Canceled,
}

impl DeliveryState {
    /// Returns the number that stores use, which is also the one on the wire.
    pub const fn code(self) -> i64 {
        match self {
            Self::Success => 0,
            Self::Pending => 1,
            Self::Fail => 2,
            Self::Canceled => 4,
        }
    }

    /// Reads a stored number back.
    pub const fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::Pending),
            2 => Some(Self::Fail),
            4 => Some(Self::Canceled),
            _ => None,
        }
    }
}

/// Why a delivery was dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailReason {
    /// The last attempt of the schedule failed.
    Exhausted,
    /// The endpoint was unavailable for longer than the whole schedule lasts.
    EndpointUnavailable,
}

impl FailReason {
    /// Returns the slug that is stored and shown.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::EndpointUnavailable => "endpoint_unavailable",
        }
    }
}

/// Why a delivery was canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// The endpoint was disabled while the delivery was pending.
    EndpointDisabled,
    /// The endpoint was deleted while the delivery was pending.
    EndpointDeleted,
    /// The payload was erased while the delivery was pending.
    PayloadExpunged,
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisabledReason {
    /// By a call of the API.
    Requested,
    /// The destination answered 410 Gone.
    Gone,
    /// It failed for too long.
    Failing,
}

impl DisabledReason {
    /// Returns the slug that is stored and shown.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// Reads a slug back.
    pub fn from_slug(slug: &str) -> Option<Self> {
        [Self::Requested, Self::Gone, Self::Failing]
            .into_iter()
            .find(|r| r.slug() == slug)
    }
}

//! Counts for people: how an endpoint fares.

use domain::Timestamp;

/// From one time to another; either end may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// How an endpoint fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Attempts that succeeded.
    pub success: u64,
    /// Attempts that failed.
    pub fail: u64,
    /// Deliveries that wait for an attempt.
    pub pending: u64,
    /// Deliveries that were canceled.
    pub canceled: u64,
}

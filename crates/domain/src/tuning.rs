//! How one endpoint asked to be called.

use std::time::Duration;

use crate::{DeliverAs, HeaderFilter, RetrySchedule};

/// What an endpoint sets for itself; `None` leaves a matter to the server's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Waits before each attempt.
    pub retry_schedule: Option<RetrySchedule>,
    /// For one attempt, from name look-up to the end of the answer.
    pub timeout: Option<Duration>,
    /// Attempts in flight at once, at the most.
    pub concurrency: Option<u16>,
    /// Send `svix-id`, `svix-timestamp` and `svix-signature` beside the standard headers.
    pub svix_headers: bool,
    /// In which form it gets what a source received.
    pub deliver_as: DeliverAs,
    /// The only headers of received requests that it gets.
    pub forward_headers: Option<HeaderFilter>,
}

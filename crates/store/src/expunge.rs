//! Erasing content on request, before its time.

use domain::EndpointKey;

/// What erasing a message's payload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expunged {
    /// Deliveries were unfinished and are canceled now.
    pub canceled: bool,
    /// Endpoints whose next delivery in line is due because of it.
    pub promoted: Vec<EndpointKey>,
}

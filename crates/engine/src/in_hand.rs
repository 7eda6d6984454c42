//! Which deliveries are in hand, so that a crash can be laid at their door.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{EndpointKey, MessageKey};

/// Deliveries that are suspected of crashing the process. They stay pending and are not sent by
/// themselves; a resend by hand sends them all the same.
pub type Suspects = Arc<HashSet<(EndpointKey, MessageKey)>>;

/// Told what is in hand while the engine has reason to fear a crash.
pub trait InHand: Send + Sync + 'static {
    /// An attempt of this delivery begins.
    fn begin(&self, endpoint: EndpointKey, message: MessageKey);

    /// It has ended, however.
    fn end(&self, endpoint: EndpointKey, message: MessageKey);
}

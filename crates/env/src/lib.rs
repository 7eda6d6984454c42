//! The outside world as traits: time, chance and the network.
//!
//! Everything that decides takes these as arguments, so a test or a simulation can hand in its
//! own. The implementations of the operating system are here too, all but the HTTP client,
//! which is the `egress` crate.
#![warn(missing_docs)]

mod clock;
mod egress;
mod entropy;
#[cfg(feature = "testing")]
pub mod testing;

pub use clock::{Clock, ScheduleClock, SystemClock};
pub use egress::{
    Connection, Egress, EgressError, OutboundRequest, OutboundResponse, ResponseLimits,
};
pub use entropy::{Entropy, Ids, SystemEntropy};

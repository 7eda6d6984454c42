//! A receiver for trying things out: it shows what arrives and behaves as badly as it is told to.
//!
//! [`Sink`] is the receiver itself, for tests and for `posthaste dev`; `run` is the command.
//! What a request meets is decided by the command line and, for that request alone, by its path:
//! `/anything/status/503` answers 503, and one sink can so play many endpoints.

mod behaviour;
mod command;
mod line;
mod server;
mod tally;
#[cfg(test)]
mod tests;

pub use behaviour::{Behaviour, Manner};
pub use command::SinkArgs;
pub(crate) use command::run;
pub use server::{Received, RunningSink, Sink, SinkOptions, Verdict};
pub use tally::Tally;

//! What the benchmark and the crash harness share: children, sockets, clocks, stamped payloads.
//!
//! Both programs drive the built server from outside, through its command line and its API only,
//! and run on the very cores that they measure. So everything on a message's way is made to be
//! cheap: one thread per process, kept-alive HTTP/1.1, no allocation that can be avoided.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a harness is the outside world: it opens sockets and reads real clocks"
)]

pub mod bits;
pub mod child;
pub mod client;
pub mod latency;
pub mod machine;
pub mod payload;
pub mod plain;
pub mod server;
pub mod time;
pub mod usage;
pub mod webhook;
pub mod wire;

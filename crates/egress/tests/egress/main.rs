//! The client against real sockets on loopback: receivers that misbehave, names that lie,
//! certificates that are no good.
#![expect(
    clippy::disallowed_types,
    reason = "the other end of the connections is here"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod addresses;
mod dns;
mod receivers;
mod reuse;
mod route;
mod support;
mod tls;

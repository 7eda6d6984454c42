//! The one way out of posthaste: connections to destinations.
//!
//! Destinations are chosen by tenants, and both their names and what answers behind them may be
//! hostile. So every outbound connection of any feature is opened here, and for each one:
//!
//! - The name is looked up by a resolver of our own. **All** of its addresses are judged by the
//!   [`domain::AddressPolicy`] of the moment; one that is refused refuses the name. The
//!   connection goes to one of exactly those addresses, so a second answer of the name server is
//!   never asked for.
//! - The peer of a connection that is kept is judged again before each request.
//! - The certificate must be valid. There is no option to skip that, and no way back to plain
//!   text.
//! - Every phase has a limit of time, and everything that is read has a limit of size.
//!
//! A connection speaks HTTP/1.1 and is driven by whoever sends on it: it has no task of its own,
//! so a closed or abandoned connection leaves nothing behind.
//!
//! With a proxy ([`Proxy`]) the same holds: names are looked up and judged here, and the proxy is
//! asked for a tunnel to the address.
//!
//! What is deliberately absent: redirects, the environment's variables for proxies, cookies,
//! decompression, HTTP/2, and retries of any kind.
#![warn(missing_docs)]
#![expect(
    clippy::disallowed_types,
    reason = "this crate is where outbound connections are opened"
)]

mod client;
mod connection;
mod dial;
mod failure;
mod policy;
mod resolve;
mod route;
mod tls;
mod wire;

pub use client::{Client, Config};
pub use policy::SharedPolicy;
pub use resolve::{Resolve, ResolveError, SystemResolver};
pub use route::{Bind, InvalidProxy, Proxy};
pub use tls::InvalidRoots;

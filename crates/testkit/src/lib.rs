//! The built program as a child process, and what a test needs around it.
//!
//! - [`Launch`] starts `posthaste serve` on a free port with a data directory of its own, and
//!   [`TestServer`] is the running one: kill it, end it, start it again, read what it printed.
//! - [`Api`] speaks to it over HTTP; [`Receiver`] is where it delivers to, [`Absent`] one that is
//!   down.
//! - [`eventually`] asks until something is so, and gives up loudly. Nothing here waits for a time
//!   to pass.
//! - [`external`] finds the programs that `cargo xtask test` has installed or built; without them a
//!   test is skipped on a person's machine, and fails in CI.
//!
//! Everything panics with what it saw where a test could only do the same.

mod api;
pub mod external;
mod receiver;
mod server;
mod wait;

pub use api::{Answer, Api, Endpoint};
pub use receiver::{Absent, Receiver};
pub use server::{ADMIN_KEY, Launch, TestServer, finish};
pub use wait::{eventually, eventually_some};

//! The bare relay: what these cores could do if nothing had to be stored.
//!
//! It does to a message what the server must do in any case: hyper accepts it, serde_json parses
//! it (the payload left as it is), it is signed with HMAC-SHA256 and sent by hyper over kept-alive
//! connections, once per endpoint. It has no store, no limits, no retries and no authentication.
//! It answers 202 as soon as the message is in its queue in memory, before the send, because that
//! is the cheapest promise there is; the queue is bounded and a full one delays the answer. So it
//! is the ceiling for the shape of the work, on the same cores in the same run.
//!
//! It understands the server's command line and set-up calls, so that whatever drives the server
//! drives the relay too.

mod intake;
mod lane;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use tokio::net::TcpListener;

use intake::Intake;
use lane::{Inbox, Lanes};

/// The server's options, of which only the address matters here.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    data: std::path::PathBuf,
    #[arg(long)]
    allow_private: bool,
    /// 1: intake and sending share a thread; 2: they have one each
    #[arg(long, env = "BENCH_RELAY_THREADS", default_value_t = 2)]
    threads: u8,
}

/// Serves until it is killed.
pub(crate) fn main() -> anyhow::Result<()> {
    // The first argument is the role's name, which takes the place of the program's.
    let options = Options::parse_from(std::env::args_os().skip(1));
    let inbox = Arc::new(Inbox::default());
    let sending = Arc::clone(&inbox);
    if options.threads > 1 {
        thread::spawn(move || super::run_local(Lanes::default().run(sending)));
    }
    super::run_local(async move {
        if options.threads == 1 {
            tokio::task::spawn_local(Lanes::default().run(Arc::clone(&inbox)));
        }
        let listener = TcpListener::bind(options.listen).await?;
        Intake::new(inbox).serve(listener).await
    })?
}

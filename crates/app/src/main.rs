//! posthaste: webhooks in both directions and the automation between them, as one program.

mod commands;
mod config;
mod crash_loop;
mod data;
mod file_limit;
mod log;
mod manual;
mod reference;
mod serve;
mod tls;
mod upkeep;

use std::process::ExitCode;

use clap::Parser as _;

/// Two allocators were measured: this one is faster where messages cross threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run(commands::Arguments::parse())
}

//! The few commands that work on this repository: `cargo xtask <command>`.
//!
//! Every one passes `--release`, so that a checkout has one set of compiled dependencies, C code
//! included, for running, testing, linting and measuring alike.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks"
)]

mod check;
mod clients;
mod process;
mod summary;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask <command>

  check            format, lints, documentation and tidy; changes nothing
  tidy             what no compiler checks: dependency direction, sizes, leftovers
  test [ARGS]      installs what the tests need, builds the program, runs every test;
                   ARGS go to `cargo test`, for example `-p posthaste-store`
  contract [SECS]  asks the program about all that its description promises, for as long as said
                   (600 seconds); a test does the same for less than a minute
  fuzz [SECS]      feeds every parser made-up bytes, for as long as said each (60 seconds);
                   the tests do the same for a moment
  openapi          writes docs/openapi.json anew from the program
  bench [ARGS]     measures; ARGS go to the load program
  crash [ARGS]     kills the program under load and counts what is lost, `--kills N` times;
                   `crash term`, `full` and `images` break it in other ways
  sim [ARGS]       runs the simulated world, `--seed N`
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match run(&command, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, rest: &[String]) -> Result<()> {
    match command {
        "check" => check::check(),
        "tidy" => tidy::tidy(),
        "test" => test::test(rest),
        "contract" => test::contract(rest),
        "fuzz" => test::fuzz(rest),
        "openapi" => test::openapi(),
        "bench" => measure(&["-p", "posthaste-bench"], rest),
        "crash" => measure(
            &["-p", "posthaste-bench", "--bin", "crashlab"],
            &crash_mode(rest),
        ),
        "sim" => process::cargo(&["run", "--release", "-p", "posthaste-sim", "--"])
            .args(rest)
            .run(),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no command `{other}`\n\n{USAGE}"),
    }
}

/// The arguments of `crash` with its mode in front; `kill` is what one means by default.
fn crash_mode(rest: &[String]) -> Vec<String> {
    let has_mode = rest
        .first()
        .is_some_and(|first| !first.starts_with('-') || first == "--help");
    let mode = (!has_mode).then(|| "kill".to_owned());
    mode.into_iter().chain(rest.iter().cloned()).collect()
}

/// Runs a program of the `bench` crate, which looks for posthaste beside itself: built anew, so
/// that it is never an older one.
fn measure(which: &[&str], rest: &[String]) -> Result<()> {
    test::build()?;
    process::cargo(&["run", "--release"])
        .args(which)
        .args(["--"])
        .args(rest)
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_without_a_mode_is_a_kill() {
        let moded = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            crash_mode(&words).join(" ")
        };

        assert_eq!(moded(""), "kill");
        assert_eq!(moded("--kills 200"), "kill --kills 200");
        assert_eq!(moded("term --seed 1"), "term --seed 1");
        assert_eq!(moded("--help"), "--help");
    }
}

//! The clock, chance, and the files of whoever types the command.
//!
//! A command acts now and on this machine: what a server takes as an argument so that tests can
//! choose it, a command may ask for itself. It does so here and nowhere else.

use std::io::Read as _;

use domain::Timestamp;

use crate::Streams;
use crate::exit::Failure;

/// The most bytes that a command reads from a file or from its standard input.
const INPUT_MAX: u64 = 64 << 20;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// Reads a file, or standard input where its name is `-`. A leading `@` is allowed.
pub(crate) fn read(name: &str, streams: &mut Streams<'_>) -> Result<Vec<u8>, Failure> {
    let name = name.strip_prefix('@').unwrap_or(name);
    if name == "-" {
        return read_input(streams);
    }
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read {name}: {error}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(name).map_err(cannot)?;
    file.take(INPUT_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    check_size(bytes)
}

/// Reads standard input to its end.
pub(crate) fn read_input(streams: &mut Streams<'_>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut input = (&mut *streams.input).take(INPUT_MAX + 1);
    input.read_to_end(&mut bytes)?;
    check_size(bytes)
}

/// Reads a line from the terminal without showing it there.
pub(crate) fn read_hidden(streams: &mut Streams<'_>) -> Result<String, Failure> {
    use std::io::BufRead as _;
    let hidden = Hidden::begin();
    let mut line = String::new();
    let mut input = std::io::BufReader::new((&mut *streams.input).take(INPUT_MAX));
    input.read_line(&mut line)?;
    drop(hidden);
    Ok(line)
}

/// While it lives, the terminal does not show what is typed.
struct Hidden {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

#[cfg(unix)]
impl Hidden {
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut now) = before.clone() {
            now.local_modes.remove(LocalModes::ECHO);
            // Where this fails there is no terminal that could show anything.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &now);
        }
        Self { before }
    }
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(not(unix))]
impl Hidden {
    fn begin() -> Self {
        Self {}
    }
}

fn check_size(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if bytes.len() as u64 > INPUT_MAX {
        return Err(Failure::usage(format!(
            "there is more to read than {INPUT_MAX} bytes"
        )));
    }
    Ok(bytes)
}

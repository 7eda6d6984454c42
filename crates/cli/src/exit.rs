//! How a command ends: the code for the shell and the words for the person.

use std::io;
use std::process::ExitCode;

use serde_json::Value;

use crate::Streams;
use crate::text::shown;

/// The longest message of a server that is told to the person.
const SHOWN_MAX: usize = 4_000;

/// How a command ended. The numbers are for ever: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Ok,
    /// It did not, for a reason that has no number of its own.
    Failure,
    /// It was asked in a way that makes no sense.
    Usage,
    /// What it was asked about does not exist.
    NotFound,
    /// The key is missing, wrong, or not allowed to do this.
    Auth,
    /// Something is in the way: the thing exists, or is not in the state that was expected.
    Conflict,
    /// The server cannot be reached, is overloaded, or took too long: trying later may help.
    Unavailable,
    /// The message was published and a delivery of it failed.
    DeliveryFailed,
    /// Some of many were done, and some were not.
    Partial,
    /// Ended by Ctrl-C before it was done.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Auth => 4,
            Self::Conflict => 5,
            Self::Unavailable => 6,
            Self::DeliveryFailed => 7,
            Self::Partial => 8,
            Self::Interrupted => 130,
        }
    }

    /// How a command ends whose call was answered with this status.
    pub(crate) fn of_status(status: http::StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Ok,
            401 | 403 => Self::Auth,
            404 | 410 => Self::NotFound,
            409 | 412 => Self::Conflict,
            408 | 429 | 502..=504 | 507 => Self::Unavailable,
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    request_id: Option<String>,
    hint: Option<&'static str>,
    /// The server's own words, for programs.
    problem: Option<Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            request_id: None,
            hint: None,
            problem: None,
        }
    }

    /// The command line says something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// What the person would be told.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// An answer that is no success.
    pub(crate) fn answered(
        status: http::StatusCode,
        request_id: Option<String>,
        body: &[u8],
    ) -> Self {
        let problem: Option<Value> = serde_json::from_slice(body).ok();
        let text = problem.as_ref().and_then(in_words);
        let reason = status.canonical_reason().unwrap_or("no success");
        let message = text.unwrap_or_else(|| format!("the server answered {reason}"));
        let code = problem
            .as_ref()
            .and_then(|problem| problem["code"].as_str());
        let code = code.map_or_else(String::new, |code| format!(", {code}"));
        let hint = (status == 401).then_some(
            "give a key by --token or in POSTHASTE_TOKEN; the server prints one when it first runs",
        );
        Self {
            exit: Exit::of_status(status),
            // Whoever answers need not be a posthaste.
            message: shown(&format!("{message} ({}{code})", status.as_u16()), SHOWN_MAX),
            request_id: request_id.map(|id| shown(&id, SHOWN_MAX)),
            hint,
            problem,
        }
    }

    /// Tells the person, and a program that asked for JSON as well. The failure's exit code.
    pub(crate) fn tell(self, wants_json: bool, streams: &mut Streams<'_>) -> Exit {
        // Whoever closed these streams does not want to know.
        if let (true, Some(problem)) = (wants_json, &self.problem) {
            let _ = writeln!(streams.out, "{problem}");
        }
        if !self.message.is_empty() {
            let request = self.request_id.map(|id| format!(" [request {id}]"));
            let _ = writeln!(
                streams.err,
                "error: {}{}",
                self.message,
                request.unwrap_or_default()
            );
        }
        if let Some(hint) = self.hint {
            let _ = writeln!(streams.err, "hint: {hint}");
        }
        self.exit
    }
}

/// What a problem says: its `detail`, or which fields are wrong and why.
fn in_words(problem: &Value) -> Option<String> {
    let faults = match &problem["detail"] {
        Value::String(detail) => return Some(detail.trim_end_matches('.').to_owned()),
        Value::Array(faults) if !faults.is_empty() => faults,
        _ => return problem["title"].as_str().map(str::to_owned),
    };
    let words = faults.iter().map(|fault| {
        let place = fault["loc"].as_array().into_iter().flatten();
        let place: Vec<&str> = place.filter_map(Value::as_str).collect();
        let why = fault["msg"].as_str().unwrap_or("is not valid");
        format!("{} {why}", place.join("."))
    });
    Some(words.collect::<Vec<_>>().join("; "))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // `posthaste sink | head` closes our output when it has seen enough: no failure of ours.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, "");
        }
        Self::new(Exit::Failure, error.to_string())
    }
}

//! Headers of inbound requests, as they are kept: credentials apart from the rest, and sealed.

use bytes::Bytes;
use domain::InboundId;
use signature::scheme::{Algorithm, Location};
use vault::{Binding, Purpose};

use crate::live_sources::LiveSource;
use crate::receive::Incoming;

/// What is kept of a request's head.
pub(crate) struct Kept {
    /// The path, with `***` for the token, and the query.
    pub(crate) path: String,
    /// One `name: value` a line.
    pub(crate) headers: Vec<u8>,
    /// Lines of what is left out of the others.
    pub(crate) credentials: Option<Vec<u8>>,
}

/// What stands for a value that is kept apart.
const HIDDEN: &str = "***";
/// The line of credentials that holds the query.
const QUERY: &str = ":query";

/// Headers that are credentials wherever they come.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-hook-secret",
];

pub(crate) const fn binding(request: InboundId) -> Binding {
    Binding {
        purpose: Purpose::RequestCredentials,
        owner: request.bits(),
    }
}

/// Writes a request's head down.
pub(crate) fn keep(source: &LiveSource, incoming: &Incoming) -> Kept {
    let scheme = &source.plan.scheme;
    let places = match scheme.algorithm() {
        // The secret itself is sent.
        Algorithm::Token => scheme.signature().locations(),
        _ => &[],
    };
    let is_secret = |name: &str| {
        CREDENTIALS.contains(&name)
            || places.iter().any(|place| {
                matches!(place, Location::Header(header) if header.eq_ignore_ascii_case(name))
            })
    };
    let size = incoming.headers.iter();
    let size = size.map(|(name, value)| name.len() + value.len() + 3).sum();
    let mut headers = Vec::with_capacity(size);
    let mut credentials = Vec::new();
    for (name, value) in &incoming.headers {
        if is_secret(name) {
            line(&mut credentials, name, value);
            line(&mut headers, name, HIDDEN.as_bytes());
        } else {
            line(&mut headers, name, value);
        }
    }
    let in_query = places
        .iter()
        .any(|place| matches!(place, Location::Query(_)));
    let query = match &incoming.query {
        None => String::new(),
        Some(query) if in_query => {
            line(&mut credentials, QUERY, query.as_bytes());
            format!("?{HIDDEN}")
        }
        Some(query) => format!("?{query}"),
    };
    Kept {
        path: format!("/in/{HIDDEN}{}{query}", incoming.suffix),
        headers,
        credentials: (!credentials.is_empty()).then_some(credentials),
    }
}

fn line(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.push(b'\n');
}

/// Reads lines back as names and values.
pub(crate) fn read(lines: &[u8]) -> Vec<(String, Bytes)> {
    let lines = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let pair = |line: &[u8]| {
        let colon = line.windows(2).position(|two| two == b": ")?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        Some((name, Bytes::copy_from_slice(&line[colon + 2..])))
    };
    lines.filter_map(pair).collect()
}

/// A head, put together again.
pub(crate) struct Restored {
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) suffix: String,
    pub(crate) query: Option<String>,
}

/// Puts a head together again.
pub(crate) fn restore(headers: &[u8], path: &str, credentials: Option<&[u8]>) -> Restored {
    let (path, query) = match path.split_once('?') {
        None => (path, None),
        Some((path, query)) => (path, Some(query)),
    };
    let mut query = query.map(str::to_owned);
    let suffix = path.strip_prefix("/in/").unwrap_or_default();
    let suffix = suffix.strip_prefix(HIDDEN).unwrap_or_default();
    let mut headers = read(headers);
    let hidden = credentials.map(read).unwrap_or_default();
    let mut hidden = hidden.into_iter().peekable();
    for (name, value) in &mut headers {
        if value == HIDDEN.as_bytes()
            && let Some((_, original)) = hidden.next_if(|(other, _)| other == name)
        {
            *value = original;
        }
    }
    if let Some((_, original)) = hidden.next_if(|(name, _)| name == QUERY) {
        query = Some(String::from_utf8_lossy(&original).into_owned());
    }
    Restored {
        headers,
        suffix: suffix.to_owned(),
        query,
    }
}

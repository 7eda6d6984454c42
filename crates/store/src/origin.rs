//! The request that brought a message, as far as those who get the message are told of it.

use bytes::Bytes;
use domain::InboundId;

use crate::NewInbound;

/// What a delivery of a received message can show of the request.
///
/// It is read with the delivery and erased with the log of requests, before the message or after:
/// a delivery of a message whose request is gone is one of a message that never had any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The request's id.
    pub request: InboundId,
    /// Its method.
    pub method: String,
    /// Its path with `***` for the token, and its query.
    pub path: String,
    /// The address that it came from.
    pub peer: String,
    /// Its headers, one `name: value` a line; `***` stands for credentials.
    pub headers: Bytes,
    /// Its body, where the message is all that came of it and has other bytes: the only item of an
    /// array, for example.
    pub body: Option<Bytes>,
}

impl Origin {
    /// Returns what a request that is being stored is to its messages.
    ///
    /// `whole` says that it made one message, whose bytes are not its body.
    pub fn of(request: &NewInbound, whole: bool) -> Self {
        Self {
            request: request.id,
            method: request.method.clone(),
            path: request.path.clone(),
            peer: request.peer.clone(),
            headers: request.headers.clone(),
            body: whole.then(|| request.body.clone()),
        }
    }

    /// Returns what it is to several messages.
    #[must_use]
    pub fn of_many(&self) -> Self {
        Self {
            body: None,
            ..self.clone()
        }
    }

    /// Returns how many bytes it takes in memory, give or take a few.
    pub fn cost(&self) -> usize {
        let body = self.body.as_ref().map_or(0, Bytes::len);
        self.method.len() + self.path.len() + self.peer.len() + self.headers.len() + body
    }

    /// Returns the headers in order, as they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        header_lines(&self.headers)
    }
}

/// Reads headers that were written one `name: value` a line.
pub fn header_lines(lines: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.windows(2).position(|two| two == b": ")?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        Some((name, &line[colon + 2..]))
    })
}

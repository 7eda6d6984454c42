//! Questions that providers ask a source before they send anything.
//!
//! This is the one place where a request is looked at before it is verified: what is answered here
//! is kept as a handshake and never becomes a message.

use crate::live_sources::LiveSource;
use crate::receive::Incoming;

/// What a provider's question is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeAnswer {
    /// The status.
    pub status: u16,
    /// Headers beside those that every answer has.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// The body's content type.
    pub content_type: String,
    /// The short name of what was asked, or of why it was refused.
    pub reason: String,
}

/// Answers a request that is a question; `None` when it is none.
pub(crate) fn answer(source: &LiveSource, incoming: &Incoming) -> Option<HandshakeAnswer> {
    let probe = incoming.method == "HEAD" && incoming.body.is_empty();
    let asks = source.plan.preset.is_some_and(|preset| {
        let handshakes = &preset.handshakes;
        handshakes.contains(&signature::scheme::Handshake::Probe)
    });
    (probe && asks).then(|| HandshakeAnswer {
        status: 200,
        headers: Vec::new(),
        body: String::new(),
        content_type: "text/plain".to_owned(),
        reason: "probe".to_owned(),
    })
}

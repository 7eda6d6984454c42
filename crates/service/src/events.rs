//! CloudEvents in a request: each of them is a message.

use std::sync::Arc;

use bytes::Bytes;
use inbound::cloud_events;

use crate::Service;
use crate::handshakes::HandshakeAnswer;
use crate::live_sources::LiveSource;
use crate::receive::{Incoming, Received, Refusal};

/// An event of a request, as far as its message is made of it.
#[derive(Clone, Debug)]
pub(crate) struct ReadEvent {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) is_structured: bool,
    pub(crate) bytes: Bytes,
}

impl Service {
    /// Reads the events of a request; an answer where there is none to be read.
    pub(crate) fn events(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
    ) -> Result<Vec<ReadEvent>, Received> {
        let (url, headers) = (source.url_of(incoming), incoming.pairs());
        let events = match cloud_events::read(&incoming.as_request(&url, &headers)) {
            Ok(events) => events,
            Err(error) => {
                let refusal = if error.is_content_type() {
                    Refusal::Type
                } else {
                    Refusal::Events
                };
                self.reject_because(source, incoming, refusal.reason(), error.to_string());
                return Err(Received::Refused(refusal));
            }
        };
        if events.is_empty() {
            return Err(self.nothing(source, incoming));
        }
        let read = events.into_iter().map(|event| ReadEvent {
            id: event.id,
            source: event.source,
            kind: event.kind,
            is_structured: event.is_structured,
            // A slice of a batch would hold on to all of it.
            bytes: if event.bytes.len() == incoming.body.len() {
                incoming.body.clone()
            } else {
                Bytes::copy_from_slice(event.bytes)
            },
        });
        Ok(read.collect())
    }

    /// An empty batch is allowed, and no message.
    fn nothing(&self, source: &Arc<LiveSource>, incoming: &Incoming) -> Received {
        let answer = HandshakeAnswer {
            status: 204,
            headers: Vec::new(),
            body: String::new(),
            content_type: "text/plain".to_owned(),
            reason: "empty_batch".to_owned(),
        };
        self.note_handshake(source, incoming, &answer);
        Received::Handshake(answer)
    }
}

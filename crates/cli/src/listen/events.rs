//! Server-sent events, as they come over the wire.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::exit::Failure;

/// The most bytes of one event. A payload is at most a megabyte, and JSON may double it.
const EVENT_MAX: usize = 8 << 20;

/// One event. A comment is one without a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) data: String,
}

/// Reads events from the body of an answer.
pub(super) struct Events {
    body: Incoming,
    buffer: Buffer,
}

impl Events {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            buffer: Buffer::default(),
        }
    }

    /// The next event; `None` at the stream's end. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.buffer.take() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame
                .map_err(|error| Failure::unavailable(format!("the stream broke: {error}")))?;
            if let Ok(bytes) = frame.into_data() {
                self.buffer.add(&bytes)?;
            }
        }
    }
}

/// What has come and is no whole event yet.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// No event ends before here.
    looked: usize,
}

impl Buffer {
    fn add(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        if self.bytes.len() + bytes.len() > EVENT_MAX {
            return Err(Failure::unavailable(
                "the stream has an event that is too long",
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self) -> Option<Event> {
        let from = self.looked.saturating_sub(1);
        let end = self.bytes[from..].windows(2).position(|two| two == b"\n\n");
        let Some(end) = end.map(|end| from + end) else {
            self.looked = self.bytes.len();
            return None;
        };
        let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
        self.looked = 0;
        Some(parsed(&String::from_utf8_lossy(&block)))
    }
}

fn parsed(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name {
            "event" => value.clone_into(&mut event.name),
            "id" => value.clone_into(&mut event.id),
            "data" => event.data.push_str(value),
            _ => {}
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_they_were_cut() {
        let text =
            "retry: 1\nevent: open\ndata: {}\n\n: alive\n\nid: 7\nevent: message\ndata: a: b\n\n";
        for size in 1..text.len() {
            let mut buffer = Buffer::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                buffer.add(&Bytes::copy_from_slice(piece)).unwrap();
                while let Some(event) = buffer.take() {
                    events.push((event.name, event.id, event.data));
                }
            }
            let event = |name: &str, id: &str, data: &str| (name.into(), id.into(), data.into());
            let wanted = [
                event("open", "", "{}"),
                event("", "", ""),
                event("message", "7", "a: b"),
            ];
            assert_eq!(events, wanted, "{size}");
        }
    }

    #[test]
    fn an_event_that_never_ends_is_given_up() {
        let mut buffer = Buffer::default();
        let piece = Bytes::from(vec![b'x'; EVENT_MAX]);

        assert!(buffer.add(&piece).is_ok());
        assert!(buffer.add(&Bytes::from_static(b"x")).is_err());
    }
}

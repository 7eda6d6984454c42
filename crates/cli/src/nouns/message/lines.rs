//! Lines of an answer that may be as long as it likes, read as they come.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::exit::Failure;

/// The most bytes of one line. A payload is at most a megabyte, and JSON may double it.
const LINE_MAX: usize = 8 << 20;
/// How long a server may be silent in the middle of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Reads lines from the body of an answer.
pub(super) struct Lines {
    body: Incoming,
    buffer: Buffer,
}

impl Lines {
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            body,
            buffer: Buffer::default(),
        }
    }

    /// The next line without its end; `None` when the answer is whole. May be dropped while it
    /// waits.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(line) = self.buffer.take() {
                return Ok(Some(line));
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_| broken("the server fell silent"))?;
            let Some(frame) = frame else {
                return self.buffer.end().map(|()| None);
            };
            let frame = frame.map_err(|error| broken(&error.to_string()))?;
            if let Ok(bytes) = frame.into_data() {
                self.buffer.add(&bytes)?;
            }
        }
    }
}

fn broken(why: &str) -> Failure {
    Failure::unavailable(format!("what was printed is only a part: {why}"))
}

/// What has come and is no whole line yet.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where the lines that were taken end.
    taken: usize,
    /// No line ends between there and here.
    looked: usize,
}

impl Buffer {
    fn add(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        self.bytes.drain(..self.taken);
        self.looked -= self.taken;
        self.taken = 0;
        if self.bytes.len() + bytes.len() > LINE_MAX {
            return Err(broken("a line is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let rest = &self.bytes[self.looked..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.looked = self.bytes.len();
            return None;
        };
        let end = self.looked + end;
        let line = self.bytes[self.taken..end].to_vec();
        self.taken = end + 1;
        self.looked = self.taken;
        Some(line)
    }

    /// An answer that ends within a line was cut.
    fn end(&self) -> Result<(), Failure> {
        if self.taken == self.bytes.len() {
            return Ok(());
        }
        Err(broken("the last line has no end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let text = "{\"a\":1}\n\n{\"b\":\"\u{e9}\"}\nlast\n";
        for size in 1..text.len() {
            let mut buffer = Buffer::default();
            let mut lines = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                buffer.add(&Bytes::copy_from_slice(piece)).unwrap();
                while let Some(line) = buffer.take() {
                    lines.push(String::from_utf8(line).unwrap());
                }
            }
            assert_eq!(lines, text.lines().collect::<Vec<_>>(), "{size}");
            assert!(buffer.end().is_ok(), "{size}");
        }
    }

    #[test]
    fn an_end_within_a_line_and_a_line_without_end_are_failures() {
        let mut buffer = Buffer::default();
        buffer.add(&Bytes::from_static(b"whole\npart")).unwrap();
        assert_eq!(buffer.take().unwrap(), b"whole");
        assert!(buffer.take().is_none());
        assert!(buffer.end().is_err());

        let rest = Bytes::from(vec![b'x'; LINE_MAX]);
        assert!(buffer.add(&rest).is_err());
    }
}

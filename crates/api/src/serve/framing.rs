//! Follows where requests begin and end in the bytes that a peer sends, and refuses ambiguity.
//!
//! The HTTP library parses requests; this only watches, for two reasons:
//! - The library forgives what makes two servers disagree about where a request ends: a lone LF,
//!   `Content-Length` beside `Transfer-Encoding`, a repeated `Content-Length`. Behind a proxy that
//!   disagreement is request smuggling, so such a head never reaches the library.
//! - Deadlines depend on whether a peer is between requests, in a head or in a body.
//!
//! Bodies are skipped by count. Where the framing of a body is broken the library refuses it and
//! closes, so from there on everything is let through unseen.

use std::borrow::Cow;

use memchr::memchr;

use super::refusal::Refusal;

/// How large a request's head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line and all headers.
    pub bytes: usize,
    /// Bytes of the URL.
    pub url: usize,
    /// Number of headers.
    pub headers: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            url: 8 * 1024,
            // The number that the HTTP library parses without an allocation.
            headers: 100,
        }
    }
}

/// What a peer is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of the next request has come.
    Between,
    /// Some of a head has come.
    Head,
    /// The head is complete, the body is not.
    Body,
}

/// The verdict on some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// How many of them may be handed on.
    pub(super) pass: usize,
    /// Why the rest may not.
    pub(super) refusal: Option<Refusal>,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    limits: HeadLimits,
    state: State,
    head: Head,
    /// The part of a head's line that came in earlier reads.
    line: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Head,
    Sized(u64),
    Chunked(Chunk),
    /// The library will refuse what follows.
    Lost,
}

#[derive(Clone, Copy, Debug)]
enum Chunk {
    Size {
        size: u64,
        digits: u8,
        ended: bool,
    },
    Data(u64),
    /// The line end after a chunk's data.
    DataEnd,
    /// Trailers: how long the current line is so far.
    Trailer(usize),
}

impl Chunk {
    const START: Self = Self::Size {
        size: 0,
        digits: 0,
        ended: false,
    };
}

/// What is known of the head being read.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    /// Lines seen: the request line and headers.
    lines: usize,
    content_length: Option<u64>,
    chunked: bool,
}

impl Framing {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Head,
            head: Head::default(),
            line: Vec::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Head if self.head.bytes == 0 => Phase::Between,
            State::Head => Phase::Head,
            State::Sized(_) | State::Chunked(_) | State::Lost => Phase::Body,
        }
    }

    /// Follows the bytes of one read.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        // Where the head being read begins; one that began in an earlier read begins before all.
        let mut head_start = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let used = match &mut self.state {
                State::Head => {
                    if self.head.bytes == 0 {
                        head_start = at;
                    }
                    match self.scan_head_line(rest) {
                        Ok(used) => used,
                        Err(refusal) => {
                            return Scan {
                                pass: head_start,
                                refusal: Some(refusal),
                            };
                        }
                    }
                }
                State::Sized(left) => {
                    let used = usize::try_from(*left).map_or(rest.len(), |l| l.min(rest.len()));
                    *left -= used as u64;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                    used
                }
                State::Chunked(chunk) => {
                    let (used, next) = scan_chunk(*chunk, rest);
                    self.state = next;
                    used
                }
                State::Lost => rest.len(),
            };
            at += used;
        }
        Scan {
            pass: bytes.len(),
            refusal: None,
        }
    }

    /// Takes one line of a head, or what there is of it, and returns how many bytes that was.
    fn scan_head_line(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let end = memchr(b'\n', bytes);
        let used = end.map_or(bytes.len(), |end| end + 1);
        self.head.bytes += used;
        self.check_size(self.line.len() + used)?;
        if end.is_none() {
            self.line.extend_from_slice(bytes);
            return Ok(used);
        }
        let line = if self.line.is_empty() {
            Cow::Borrowed(&bytes[..used])
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&bytes[..used]);
            Cow::Owned(line)
        };
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Refusal::Malformed);
        };
        if line.is_empty() {
            self.end_of_head();
        } else if self.head.lines == 0 {
            self.request_line(line)?;
        } else {
            self.header(line)?;
        }
        Ok(used)
    }

    fn check_size(&self, line: usize) -> Result<(), Refusal> {
        // Method, version and spaces around the URL are far shorter than this.
        const AROUND_URL: usize = 64;
        if self.head.lines == 0 && line > self.limits.url + AROUND_URL {
            return Err(Refusal::UrlTooLong);
        }
        if self.head.bytes > self.limits.bytes {
            return Err(Refusal::HeadersTooLarge);
        }
        Ok(())
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.head.lines = 1;
        let url_len = match (memchr(b' ', line), memchr::memrchr(b' ', line)) {
            (Some(first), Some(last)) if first < last => last - first - 1,
            _ => return Err(Refusal::Malformed),
        };
        if url_len > self.limits.url {
            return Err(Refusal::UrlTooLong);
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.head.lines += 1;
        if self.head.lines - 1 > self.limits.headers {
            return Err(Refusal::HeadersTooLarge);
        }
        // A line that begins with white space would continue the one before (obs-fold).
        if matches!(line[0], b' ' | b'\t') {
            return Err(Refusal::Malformed);
        }
        let Some(colon) = memchr(b':', line) else {
            return Err(Refusal::Malformed);
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // `Content-Length :` is another header to one server and the same to the next.
        if matches!(name.last(), None | Some(b' ' | b'\t')) {
            return Err(Refusal::Malformed);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.transfer_encoding(value)
        } else {
            Ok(())
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.head.chunked || self.head.content_length.is_some() {
            return Err(Refusal::Malformed);
        }
        // `parse` alone would take a plus sign.
        let length = value
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| std::str::from_utf8(value).ok()?.parse().ok())
            .flatten();
        self.head.content_length = Some(length.ok_or(Refusal::Malformed)?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let is_second = self.head.chunked || self.head.content_length.is_some();
        if is_second || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::Malformed);
        }
        self.head.chunked = true;
        Ok(())
    }

    fn end_of_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        // Empty lines before a request line are allowed, and are not its end.
        if head.lines == 0 {
            self.head.bytes = head.bytes;
            return;
        }
        self.state = match head.content_length {
            Some(0) => State::Head,
            Some(length) => State::Sized(length),
            None if head.chunked => State::Chunked(Chunk::START),
            None => State::Head,
        };
    }
}

/// Follows a chunked body, and returns how many bytes were used and what is next.
fn scan_chunk(chunk: Chunk, bytes: &[u8]) -> (usize, State) {
    let byte = bytes[0];
    match chunk {
        Chunk::Size { size, digits, .. } if byte == b'\n' => match (digits, size) {
            (0, _) => (1, State::Lost),
            (_, 0) => (1, State::Chunked(Chunk::Trailer(0))),
            _ => (1, State::Chunked(Chunk::Data(size))),
        },
        Chunk::Size { ended: true, .. } => {
            // An extension, which nobody reads: on to the end of the line.
            (
                memchr(b'\n', bytes).unwrap_or(bytes.len()),
                State::Chunked(chunk),
            )
        }
        Chunk::Size { size, digits, .. } => match char::from(byte).to_digit(16) {
            Some(_) if digits == 15 => (1, State::Lost),
            Some(digit) => {
                let chunk = Chunk::Size {
                    size: size * 16 + u64::from(digit),
                    digits: digits + 1,
                    ended: false,
                };
                (1, State::Chunked(chunk))
            }
            None => {
                let chunk = Chunk::Size {
                    size,
                    digits,
                    ended: true,
                };
                (1, State::Chunked(chunk))
            }
        },
        Chunk::Data(left) => {
            let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            match left - used as u64 {
                0 => (used, State::Chunked(Chunk::DataEnd)),
                left => (used, State::Chunked(Chunk::Data(left))),
            }
        }
        Chunk::DataEnd => match byte {
            b'\r' => (1, State::Chunked(chunk)),
            b'\n' => (1, State::Chunked(Chunk::START)),
            _ => (1, State::Lost),
        },
        Chunk::Trailer(length) => match byte {
            b'\n' if length == 0 => (1, State::Head),
            b'\n' => (1, State::Chunked(Chunk::Trailer(0))),
            b'\r' => (1, State::Chunked(chunk)),
            _ => (1, State::Chunked(Chunk::Trailer(length + 1))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing() -> Framing {
        Framing::new(HeadLimits::default())
    }

    /// Scans in pieces of every size; returns what passed in whole pieces and the first refusal.
    fn refusal_of(bytes: &[u8]) -> Option<Refusal> {
        let verdicts: Vec<_> = [1, 2, 3, 7, bytes.len()]
            .into_iter()
            .map(|size| {
                let mut framing = framing();
                bytes
                    .chunks(size.max(1))
                    .find_map(|piece| framing.scan(piece).refusal)
            })
            .collect();
        assert!(
            verdicts.windows(2).all(|pair| pair[0] == pair[1]),
            "depends on how the bytes are cut: {verdicts:?}"
        );
        verdicts[0]
    }

    fn phase_after(bytes: &[u8]) -> Phase {
        let mut framing = framing();
        for piece in bytes.chunks(5) {
            assert_eq!(framing.scan(piece).refusal, None);
        }
        framing.phase()
    }

    #[test]
    fn heads_with_two_readings_are_refused() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET /\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(
                refusal_of(head.as_bytes()),
                Some(Refusal::Malformed),
                "{head:?}"
            );
        }
    }

    #[test]
    fn size_limits_name_what_is_too_large() {
        let long_url = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9_000));
        let endless_url = format!("GET /{}", "a".repeat(9_000));
        let long_header = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(70_000));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));

        assert_eq!(refusal_of(long_url.as_bytes()), Some(Refusal::UrlTooLong));
        assert_eq!(
            refusal_of(endless_url.as_bytes()),
            Some(Refusal::UrlTooLong)
        );
        assert_eq!(
            refusal_of(long_header.as_bytes()),
            Some(Refusal::HeadersTooLarge)
        );
        assert_eq!(refusal_of(many.as_bytes()), Some(Refusal::HeadersTooLarge));
        let allowed = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert_eq!(refusal_of(allowed.as_bytes()), None);
    }

    #[test]
    fn requests_are_followed_through_their_bodies() {
        let sized = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n";

        for (text, expected) in [
            (String::new(), Phase::Between),
            ("\r\n".into(), Phase::Head),
            ("GET / HT".into(), Phase::Head),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Phase::Between),
            (format!("{sized}abc"), Phase::Body),
            (format!("{sized}abcd"), Phase::Between),
            (format!("{sized}abcdG"), Phase::Head),
            (format!("{chunked}4\r\nabcd\r\n"), Phase::Body),
            (
                format!("{chunked}4;x=y\r\n\n\n\n\n\r\n0\r\n\r\n"),
                Phase::Between,
            ),
            (
                format!("{chunked}00\r\nTrailer: 1\r\n\r\n{sized}"),
                Phase::Body,
            ),
            (format!("{chunked}nonsense\r\n{sized}abcdG"), Phase::Body),
        ] {
            assert_eq!(phase_after(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn requests_before_a_refused_one_are_handed_on() {
        let good = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
        let bytes = format!("{good}GET / HTTP/1.1\n\n");

        let scan = framing().scan(bytes.as_bytes());

        assert_eq!(scan.pass, good.len());
        assert_eq!(scan.refusal, Some(Refusal::Malformed));
    }
}

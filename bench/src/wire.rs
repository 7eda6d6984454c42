//! A receiver's HTTP/1.1, by hand: as little work per request as a server can do.
//!
//! Requests are parsed in place by `httparse`, bodies are never copied, and an answer is one
//! write of a fixed text. It understands what a sender of webhooks sends (a `content-length`, a
//! kept-alive connection) and closes the connection on anything else.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HEADERS_MAX: usize = 32;
const READ_AHEAD: usize = 16 * 1024;
const DRIP: Duration = Duration::from_millis(250);

/// A request that arrived whole.
#[derive(Debug)]
pub struct Request<'a> {
    pub path: &'a str,
    pub headers: &'a [httparse::Header<'a>],
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Returns a header's value as text; empty when it is absent or no text.
    pub fn header(&self, name: &str) -> &str {
        find(self.headers, name).unwrap_or_default()
    }
}

/// What the receiver does about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Answers with this status at once.
    Now(u16),
    /// Answers 200 after a while, as a receiver that works does.
    After(Duration),
    /// Keeps the connection and never answers.
    Never,
    /// Answers one byte per quarter of a second, for ever.
    Drip,
    /// Breaks the connection.
    Reset,
}

/// Decides what is answered. Everything runs on one thread, hence `&self` and no locks.
pub trait Handler: 'static {
    fn handle(&self, request: &Request<'_>) -> Answer;

    /// Hears that the sender of a request that is never answered gave up.
    fn gave_up(&self) {}

    /// Hears that a connection was opened.
    fn opened(&self) {}

    /// Hears that a connection ended, whoever ended it.
    fn closed(&self) {}
}

/// Accepts and answers until the listener fails. Must run on a `LocalSet`.
pub async fn serve<H: Handler>(listener: TcpListener, handler: Rc<H>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let handler = Rc::clone(&handler);
        handler.opened();
        tokio::task::spawn_local(async move {
            // A connection's error is the sender's business: it was killed, or it gave up.
            drop(converse(stream, &*handler).await);
            handler.closed();
        });
    }
}

async fn converse<H: Handler>(mut stream: TcpStream, handler: &H) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(READ_AHEAD);
    loop {
        let (answer, length) = match take(&buffer, handler)? {
            Taken::Request { answer, length } => (answer, length),
            Taken::Partial { missing } => {
                buffer.reserve(missing);
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
                continue;
            }
        };
        buffer.advance(length);
        match answer {
            Answer::Now(status) => stream.write_all(answer_text(status)).await?,
            Answer::After(delay) => {
                tokio::time::sleep(delay).await;
                stream.write_all(answer_text(200)).await?;
            }
            Answer::Never => {
                until_given_up(&mut stream, &mut buffer).await;
                handler.gave_up();
                return Ok(());
            }
            Answer::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ").await?;
                while stream.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(DRIP).await;
                }
                handler.gave_up();
                return Ok(());
            }
            Answer::Reset => return stream.set_zero_linger(),
        }
    }
}

async fn until_given_up(stream: &mut TcpStream, buffer: &mut BytesMut) {
    while stream.read_buf(buffer).await.is_ok_and(|count| count > 0) {
        buffer.clear();
    }
}

enum Taken {
    /// A request of `length` bytes was handed over.
    Request { answer: Answer, length: usize },
    /// At least `missing` more bytes are needed; for a head, a guess.
    Partial { missing: usize },
}

/// Hands over the request at the buffer's start, if it is there in whole.
fn take<H: Handler>(buffer: &[u8], handler: &H) -> io::Result<Taken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_len = match head.parse(buffer).map_err(io::Error::other)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => {
            return Ok(Taken::Partial {
                missing: READ_AHEAD,
            });
        }
    };
    let body_len: usize = find(head.headers, "content-length")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("a request without content-length"))?;
    let length = head_len + body_len;
    let Some(body) = buffer.get(head_len..length) else {
        return Ok(Taken::Partial {
            missing: length - buffer.len(),
        });
    };
    let path = head.path.unwrap_or_default();
    let answer = handler.handle(&Request {
        path,
        headers: head.headers,
        body,
    });
    Ok(Taken::Request { answer, length })
}

fn find<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

fn answer_text(status: u16) -> &'static [u8] {
    match status {
        200 => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        _ => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Seen(RefCell<Vec<String>>);

    impl Handler for Seen {
        fn handle(&self, request: &Request<'_>) -> Answer {
            let body = std::str::from_utf8(request.body).unwrap();
            let id = request.header("webhook-id");
            self.0
                .borrow_mut()
                .push(format!("{} {id} {body}", request.path));
            Answer::Now(200)
        }
    }

    fn taken(bytes: &[u8], handler: &Seen) -> (usize, bool) {
        match take(bytes, handler).unwrap() {
            Taken::Request { length, .. } => (length, true),
            Taken::Partial { missing } => (missing, false),
        }
    }

    const REQUEST: &[u8] =
        b"POST /e/3 HTTP/1.1\r\nWebhook-Id: m1\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn a_request_is_handed_over_once_its_last_byte_is_there() {
        let seen = Seen::default();
        let (whole, short) = (REQUEST.len(), REQUEST.len() - 2);

        assert_eq!(taken(&REQUEST[..30], &seen), (READ_AHEAD, false));
        assert_eq!(taken(&REQUEST[..short], &seen), (2, false));
        assert_eq!(taken(REQUEST, &seen), (whole, true));

        assert_eq!(*seen.0.borrow(), ["/e/3 m1 hello"]);
    }

    #[test]
    fn a_second_request_behind_the_first_is_left_for_the_next_turn() {
        let seen = Seen::default();

        let (length, _) = taken(&[REQUEST, REQUEST].concat(), &seen);

        assert_eq!(length, REQUEST.len());
    }

    #[test]
    fn a_body_of_unknown_length_is_an_error_and_not_a_guess() {
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

        assert!(take(chunked, &Seen::default()).is_err());
    }
}

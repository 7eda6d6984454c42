//! The bytes of a connection: counted on their way out, and watched on their way in.
//!
//! Two layers, one under and one over TLS. [`Socket`] counts what the kernel took, so that it is
//! known whether a failed request can have reached anybody. [`Wire`] sees the plain text, and
//! ends the flood of interim answers that the HTTP library would skip without a limit.

use std::io::{self, IoSlice, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Interim answers (1xx) that are skipped before a final one.
const INTERIM_ANSWERS_MAX: u8 = 8;

/// What is known about a connection from outside, while the HTTP library owns it.
///
/// The connection is driven by one task at a time, so relaxed ordering is enough.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    written: AtomicU64,
    probing: AtomicBool,
}

impl Meter {
    /// Returns how many bytes the kernel has taken so far, TLS records included.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Makes reads ask the kernel, whether or not an event has announced anything to read.
    ///
    /// Events are seen only when the runtime collects them. Right before a request is when a
    /// close that nobody has noticed yet matters.
    pub(crate) fn set_probing(&self, probing: bool) {
        self.probing.store(probing, Ordering::Relaxed);
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(len)) = &written {
            let len = u64::try_from(*len).unwrap_or(u64::MAX);
            self.written.fetch_add(len, Ordering::Relaxed);
        }
        written
    }
}

/// A TCP connection that counts what it sends.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    meter: Arc<Meter>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, meter: Arc<Meter>) -> Self {
        Self { tcp, meter }
    }

    fn probe(&self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = SockRef::from(&self.tcp);
        // What is looked for is a close; zeroing the whole buffer for it would cost more.
        let room = buf.remaining().min(64);
        match (&*socket).read(buf.initialize_unfilled_to(room)) {
            Ok(len) => {
                buf.advance(len);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.probing.load(Ordering::Relaxed) {
            return self.probe(buf);
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.meter.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.meter.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// What HTTP is spoken over.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Transport,
    heads: Heads,
}

#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Wire {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            heads: Heads::default(),
        }
    }
}

/// Calls a method of whichever transport it is.
macro_rules! on_transport {
    ($wire:expr, $stream:ident => $call:expr) => {
        match &mut $wire.transport {
            Transport::Plain(socket) => {
                let $stream = Pin::new(socket);
                $call
            }
            Transport::Tls(tls) => {
                let $stream = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(on_transport!(self, stream => stream.poll_read(cx, buf)))?;
        Poll::Ready(self.heads.watch(&buf.filled()[before..]))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.heads = Heads::default();
        on_transport!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.heads = Heads::default();
        on_transport!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(socket) => socket.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_transport!(self, stream => stream.poll_shutdown(cx))
    }
}

/// Counts the heads of interim answers, from a request until its final answer begins.
#[derive(Debug, Default)]
struct Heads {
    place: Place,
    interim: u8,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// So many bytes into a status line.
    StatusLine { seen: u8 },
    /// Between the status line of an interim answer and the empty line that ends it.
    Interim { line_is_empty: bool },
    /// At or after the final answer.
    Final,
}

impl Default for Place {
    fn default() -> Self {
        Self::StatusLine { seen: 0 }
    }
}

impl Heads {
    /// `HTTP/1.1 103`: the place of the first digit.
    const STATUS_AT: u8 = 9;

    fn watch(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes {
            self.place = match (self.place, byte) {
                (Place::Final, _) => return Ok(()),
                // Empty lines before a status line are skipped by the parser as well.
                (Place::StatusLine { seen: 0 }, b'\r' | b'\n') | (Place::Interim { .. }, b'\r') => {
                    self.place
                }
                (Place::StatusLine { seen }, _) if seen < Self::STATUS_AT => {
                    Place::StatusLine { seen: seen + 1 }
                }
                (Place::StatusLine { .. }, b'1') => {
                    self.count_interim()?;
                    Place::Interim {
                        line_is_empty: false,
                    }
                }
                (Place::StatusLine { .. }, _) => Place::Final,
                (Place::Interim { line_is_empty }, b'\n') if line_is_empty => Place::default(),
                (Place::Interim { .. }, byte) => Place::Interim {
                    line_is_empty: byte == b'\n',
                },
            };
        }
        Ok(())
    }

    fn count_interim(&mut self) -> io::Result<()> {
        self.interim += 1;
        if self.interim > INTERIM_ANSWERS_MAX {
            let error = "more interim answers (1xx) than are skipped";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY_HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\n\n";

    fn watch(parts: &[&[u8]]) -> io::Result<Heads> {
        let mut heads = Heads::default();
        for part in parts {
            heads.watch(part)?;
        }
        Ok(heads)
    }

    #[test]
    fn a_few_interim_answers_pass_however_they_are_cut() {
        let mut stream = EARLY_HINTS.repeat(4);
        stream.extend(CONTINUE.repeat(4));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();

        assert_eq!(watch(&bytes).unwrap().interim, 8);
        assert_eq!(watch(&[&stream]).unwrap().interim, 8);
    }

    #[test]
    fn the_ninth_interim_answer_is_an_error() {
        assert!(watch(&[&EARLY_HINTS.repeat(9)]).is_err());
        assert!(watch(&[&CONTINUE.repeat(9)]).is_err());
    }

    #[test]
    fn what_a_final_answer_carries_is_not_looked_at() {
        let mut stream = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
        stream.extend(EARLY_HINTS.repeat(20));

        assert_eq!(watch(&[&stream]).unwrap().interim, 0);
    }
}

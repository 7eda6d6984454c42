//! A socket that watches what passes through it: framing, and when bytes came and went.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Deadlines;
use super::framing::{Framing, Phase};
use super::refusal::Refusal;
use super::stream::Stream;

/// What the socket, the request handler and the watch of one connection tell each other.
///
/// All three run in one task; atomics only make the sharing safe. Times are microseconds since
/// the connection was accepted, because an atomic holds no `Instant`.
#[derive(Debug)]
pub(super) struct Shared {
    accepted: Instant,
    deadlines: Deadlines,
    /// By when more must have been read.
    read_by: AtomicU64,
    /// By when more must have been written; only while the peer does not take it.
    write_by: AtomicU64,
    /// By when the handler must have answered; only while it runs.
    answer_by: AtomicU64,
    phase: AtomicU8,
    stalled: AtomicBool,
    refusal: AtomicU8,
}

const NEVER: u64 = u64::MAX;

/// What a connection that misses a deadline deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nobody waits for an answer: close.
    Close,
    /// Say why, then close.
    Refuse(Refusal),
    /// The handler reads a body that does not come: let it answer.
    Stall,
}

impl Shared {
    pub(super) fn new(deadlines: Deadlines) -> Self {
        let shared = Self {
            accepted: Instant::now(),
            deadlines,
            read_by: AtomicU64::new(NEVER),
            write_by: AtomicU64::new(NEVER),
            answer_by: AtomicU64::new(NEVER),
            phase: AtomicU8::new(0),
            stalled: AtomicBool::new(false),
            refusal: AtomicU8::new(0),
        };
        shared.set(&shared.read_by, deadlines.first_byte);
        shared
    }

    fn now(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_micros()).unwrap_or(NEVER)
    }

    fn set(&self, deadline: &AtomicU64, after: Duration) {
        let after = u64::try_from(after.as_micros()).unwrap_or(NEVER);
        deadline.store(self.now().saturating_add(after), Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Between,
            1 => Phase::Head,
            _ => Phase::Body,
        }
    }

    fn set_phase(&self, phase: Phase) {
        let number = match phase {
            Phase::Between => 0,
            Phase::Head => 1,
            Phase::Body => 2,
        };
        self.phase.store(number, Relaxed);
    }

    /// The handler has a request.
    pub(super) fn begin(&self) {
        self.set(&self.answer_by, self.deadlines.answer);
    }

    /// The handler has answered.
    pub(super) fn end(&self) {
        self.answer_by.store(NEVER, Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.answer_by.load(Relaxed) != NEVER
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        Refusal::from_number(self.refusal.load(Relaxed))
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.refusal.store(refusal.number(), Relaxed);
    }

    /// Makes the next read fail, for a handler that waits for a body.
    pub(super) fn stall(&self) {
        self.stalled.store(true, Relaxed);
        self.read_by.store(NEVER, Relaxed);
    }

    /// Looks at the deadlines.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let now = self.now();
        if self.write_by.load(Relaxed) <= now {
            return Some(Overdue::Close);
        }
        if self.answer_by.load(Relaxed) <= now {
            return Some(Overdue::Refuse(Refusal::Unanswered));
        }
        if self.read_by.load(Relaxed) > now {
            return None;
        }
        match (self.phase(), self.is_busy()) {
            (Phase::Between | Phase::Body, false) => Some(Overdue::Close),
            (Phase::Head, false) => Some(Overdue::Refuse(Refusal::Slow)),
            (Phase::Body, true) => Some(Overdue::Stall),
            // A pipelined head is not read on while the handler runs: not the peer's fault.
            (Phase::Between | Phase::Head, true) => {
                self.set(&self.read_by, self.deadlines.head);
                None
            }
        }
    }

    /// How long until the deadlines want looking at again.
    ///
    /// A deadline may be set, or moved nearer, without the watch being told; so it looks a few
    /// times within the shortest of them.
    pub(super) fn look_again(&self) -> Duration {
        let shortest = self.deadlines.first_byte.min(self.deadlines.head);
        let shortest = shortest.min(self.deadlines.body_grace);
        (shortest.min(self.deadlines.write) / 4).max(Duration::from_millis(5))
    }
}

/// The socket of one connection.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) stream: Stream,
    framing: Framing,
    shared: Arc<Shared>,
    body: Body,
}

/// How a body has come so far.
#[derive(Clone, Copy, Debug, Default)]
struct Body {
    began: u64,
    bytes: u64,
}

impl Guard {
    pub(super) fn new(stream: Stream, framing: Framing, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            framing,
            shared,
            body: Body::default(),
        }
    }

    /// Fails a read that must not happen.
    fn check_refused(&self) -> Poll<io::Result<()>> {
        if self.shared.stalled.load(Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match self.shared.refusal() {
            None => Poll::Ready(Ok(())),
            // Requests before the refused one are answered first; the library reads again then.
            Some(_) if self.shared.is_busy() => Poll::Pending,
            Some(_) => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Sets the deadline for what must come next.
    fn note_read(&mut self, bytes: usize) {
        let (before, phase) = (self.shared.phase(), self.framing.phase());
        let shared = &self.shared;
        match phase {
            // The request is complete; the time until the next begins with the answer.
            Phase::Between => shared.read_by.store(NEVER, Relaxed),
            Phase::Head if before == Phase::Head => {}
            Phase::Head => shared.set(&shared.read_by, shared.deadlines.head),
            Phase::Body => {
                if before != Phase::Body {
                    self.body = Body {
                        began: shared.now(),
                        bytes: 0,
                    };
                }
                self.body.bytes += bytes as u64;
                shared.read_by.store(self.body_by(), Relaxed);
            }
        }
        shared.set_phase(phase);
    }

    /// By when more of the body must have come: the grace, and the time that what came buys.
    fn body_by(&self) -> u64 {
        let deadlines = &self.shared.deadlines;
        let rate = deadlines.body_bytes_per_second.max(1);
        let bought = Duration::from_micros(self.body.bytes.saturating_mul(1_000_000) / rate);
        let allowed = deadlines.body_grace.saturating_add(bought).as_micros();
        self.body
            .began
            .saturating_add(u64::try_from(allowed).unwrap_or(NEVER))
    }

    fn note_write<T>(&self, result: &Poll<io::Result<T>>) {
        let shared = &self.shared;
        if result.is_ready() {
            shared.write_by.store(NEVER, Relaxed);
            if self.framing.phase() == Phase::Between {
                shared.set(&shared.read_by, shared.deadlines.idle);
            }
        } else if shared.write_by.load(Relaxed) == NEVER {
            shared.set(&shared.write_by, shared.deadlines.write);
        }
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.check_refused())?;
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - start;
        if read == 0 {
            return Poll::Ready(Ok(()));
        }
        let scan = self.framing.scan(&buf.filled()[start..]);
        self.note_read(scan.pass);
        if let Some(refusal) = scan.refusal {
            self.shared.refuse(refusal);
            buf.set_filled(start + scan.pass);
            if scan.pass == 0 {
                return self.check_refused();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if is_of_the_library(buf) {
            self.shared.refuse(Refusal::Malformed);
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.first().is_some_and(|first| is_of_the_library(first)) {
            self.shared.refuse(Refusal::Malformed);
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Does nothing: the connection's task shuts the socket down, when it has said its last word.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Says whether bytes are the answer that the library gives by itself to a broken head: a 400
/// with nothing in it. The connection's task then says the same in the shape of every error.
fn is_of_the_library(bytes: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.1 400 ";
    const OURS: &[u8] = b"x-request-id: ";
    bytes.starts_with(START) && memchr::memmem::find(bytes, OURS).is_none()
}

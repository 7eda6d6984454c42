//! How far long work has come, on a terminal only.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use crate::Streams;
use crate::output::Look;

/// Redrawn this often at most: a terminal far away is slower than the work.
const EVERY: Duration = Duration::from_millis(100);
const BAR: usize = 24;

/// A line that counts what is done. It erases itself at its end.
pub(crate) struct Progress {
    shows: bool,
    what: &'static str,
    total: Option<usize>,
    done: usize,
    drawn: Option<Instant>,
}

impl Progress {
    /// Counts up to `total`, where that is known. Silent where nobody watches.
    pub(crate) fn new(
        streams: &Streams<'_>,
        look: &Look,
        what: &'static str,
        total: Option<usize>,
    ) -> Self {
        // Data that scrolls by on the same terminal shows how far it is.
        let shows = streams.around.err_is_terminal && !streams.around.out_is_terminal;
        let counts = streams.around.err_is_terminal && total.is_some();
        Self {
            shows: (shows || counts) && !look.quiet,
            what,
            total,
            done: 0,
            drawn: None,
        }
    }

    /// Counts more that is done.
    pub(crate) fn add(&mut self, done: usize, err: &mut dyn Write) {
        self.done += done;
        if !self.shows || self.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        // Whoever closed the terminal does not want to know.
        let _ = write!(err, "\r\u{1b}[K{}", self.line());
        let _ = err.flush();
    }

    /// Erases the line, so that what follows begins at the margin.
    pub(crate) fn clear(&mut self, err: &mut dyn Write) {
        if self.drawn.take().is_some() {
            let _ = write!(err, "\r\u{1b}[K");
        }
    }

    fn line(&self) -> String {
        let (done, what) = (self.done, self.what);
        match self.total {
            Some(total) if total > 0 => {
                let full = (done.min(total) * BAR) / total;
                let (full, empty) = ("#".repeat(full), "-".repeat(BAR - full));
                format!("[{full}{empty}] {done}/{total} {what}")
            }
            _ => format!("{done} {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Surroundings;

    fn drawn(err_is_terminal: bool, total: Option<usize>) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams {
            input: &mut std::io::empty(),
            out: &mut out,
            err: &mut err,
            around: Surroundings {
                err_is_terminal,
                ..Surroundings::default()
            },
        };
        let look = Look::plain();
        let mut progress = Progress::new(&streams, &look, "messages", total);
        let mut drawn = Vec::new();
        progress.add(6, &mut drawn);
        progress.clear(&mut drawn);
        String::from_utf8(drawn).unwrap()
    }

    #[test]
    fn it_shows_on_a_terminal_only_and_erases_itself() {
        assert_eq!(
            drawn(true, Some(24)),
            "\r\u{1b}[K[######------------------] 6/24 messages\r\u{1b}[K"
        );
        assert_eq!(drawn(true, None), "\r\u{1b}[K6 messages\r\u{1b}[K");
        assert_eq!(drawn(false, Some(24)), "");
    }
}

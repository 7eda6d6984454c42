//! One process, from its start to its death.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use engine::Engine;

use crate::flag::Flag;

/// A process that runs, or ran.
///
/// It dies by being cut off: from its death on, no call into the store or the network returns to
/// it. What it had begun is thus never finished, as with a process that was killed.
pub(crate) struct Life {
    pub(crate) number: usize,
    engine: OnceLock<Engine>,
    dead: Flag,
    /// The next process has taken over.
    succeeded: Flag,
    /// Writes until it dies of one.
    fuse: AtomicI64,
    /// It dies when the store has worked on that write.
    outlives_work: AtomicBool,
    /// The last call is worked on after the takeover, as if it had been on its way.
    lingers: AtomicBool,
}

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fuse {
    /// Before the store has worked on the nth write from now.
    Before(i64),
    /// When the store has, and has not answered yet.
    After(i64),
}

impl Life {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            engine: OnceLock::new(),
            dead: Flag::default(),
            succeeded: Flag::default(),
            fuse: AtomicI64::new(i64::MAX),
            outlives_work: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
        }
    }

    /// Tells it its engine, once.
    pub(crate) fn has(&self, engine: Engine) {
        drop(self.engine.set(engine));
    }

    pub(crate) fn engine(&self) -> Option<&Engine> {
        self.engine.get()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_raised()
    }

    pub(crate) fn die(&self) {
        self.dead.raise();
    }

    /// Waits for its death.
    pub(crate) async fn death(&self) {
        self.dead.wait().await;
    }

    /// The next process has taken over.
    pub(crate) fn succeed(&self) {
        self.succeeded.raise();
    }

    /// Lights a fuse; with `lingers`, the call that it dies of reaches the store afterwards.
    pub(crate) fn light(&self, fuse: Fuse, lingers: bool) {
        let (Fuse::Before(calls) | Fuse::After(calls)) = fuse;
        self.fuse.store(calls, Ordering::Relaxed);
        let after = matches!(fuse, Fuse::After(_));
        self.outlives_work.store(after, Ordering::Relaxed);
        self.lingers.store(lingers && !after, Ordering::Relaxed);
    }

    /// Begins a write; says whether the process dies of it before the store works on it.
    pub(crate) fn begins_write(&self) -> bool {
        let left = self.fuse.fetch_sub(1, Ordering::Relaxed);
        let burnt = left == 0 && !self.outlives_work.load(Ordering::Relaxed);
        if burnt {
            self.die();
        }
        burnt
    }

    /// Ends a write; says whether the process dies of it before it is answered.
    pub(crate) fn ends_write(&self) -> bool {
        let burnt = self.outlives_work.load(Ordering::Relaxed)
            && self.fuse.load(Ordering::Relaxed) < 0
            && !self.is_dead();
        if burnt {
            self.die();
        }
        burnt
    }

    /// Waits until the next process runs.
    pub(crate) async fn succession(&self) {
        self.succeeded.wait().await;
    }

    /// Waits until a call of a dead process may reach the store after all; for most, for ever.
    pub(crate) async fn linger(&self) {
        if !self.lingers.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.succeeded.wait().await;
    }
}

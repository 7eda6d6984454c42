//! Whether this server should be sent requests.

use std::sync::Mutex;
use std::time::Duration;

use crate::Service;

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The store does not work.
    #[error("the store cannot be written to")]
    Store,
}

/// The last answer of the store, and until when it counts.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Option<(Result<(), NotReady>, Duration)>>);

impl Service {
    /// Makes [`Self::ready`] say no from now on, so that balancers look elsewhere.
    pub fn begin_shutdown(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Says whether it is shutting down.
    pub fn is_stopping(&self) -> bool {
        *self.0.stopping.borrow()
    }

    /// Waits until it is shutting down.
    pub async fn stopping(&self) {
        let mut stopping = self.0.stopping.subscribe();
        // The sender lives as long as this.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Says whether this server should be sent requests.
    ///
    /// The check writes to the store. Anybody may ask, so an answer counts for a while: half of
    /// the second within which a full disk has to show.
    pub async fn ready(&self) -> Result<(), NotReady> {
        const STAY: Duration = Duration::from_millis(500);
        if self.is_stopping() {
            return Err(NotReady::ShuttingDown);
        }
        let now = self.0.world.clock.monotonic();
        let known = *self
            .0
            .readiness
            .0
            .lock()
            .expect("no panic while it is held");
        if let Some((verdict, until)) = known
            && now < until
        {
            return verdict;
        }
        let verdict = match self.store().check_writable(self.now()).await {
            Ok(()) => Ok(()),
            Err(store::Error::Full) => Err(NotReady::DiskFull),
            Err(error) => {
                tracing::warn!(%error, "The store cannot be written to");
                Err(NotReady::Store)
            }
        };
        let mut known = self
            .0
            .readiness
            .0
            .lock()
            .expect("no panic while it is held");
        *known = Some((verdict, now + STAY));
        verdict
    }
}

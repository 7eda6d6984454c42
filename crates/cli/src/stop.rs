//! Ctrl-C: once to end in good order, twice to end at once.

use tokio::sync::watch;

use crate::Exit;

/// Learns when the person wants a command to end. The default never does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Option<watch::Receiver<bool>>);

impl Stop {
    /// Listens to Ctrl-C from now on. The second one ends the process.
    pub(crate) fn on_ctrl_c() -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            // Where there are no signals there is no Ctrl-C; the process is ended otherwise.
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            sender.send_replace(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                abort();
            }
        });
        Self(Some(receiver))
    }

    /// Says whether the person wants it to end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|wanted| *wanted.borrow())
    }

    /// Waits until the person wants it to end.
    pub(crate) async fn wanted(&self) {
        let Some(receiver) = &self.0 else {
            return std::future::pending().await;
        };
        let mut receiver = receiver.clone();
        if receiver.wait_for(|wanted| *wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[expect(clippy::exit, reason = "asked twice, it must not wait for anything")]
fn abort() {
    std::process::exit(i32::from(Exit::Interrupted.code()));
}

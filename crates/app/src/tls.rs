//! The listener's certificate: loaded at the start, looked at again on SIGHUP and by the clock.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::Certificates;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use crate::config::Server;

/// Loads the certificate, if one is set.
pub(crate) fn open(server: &Server) -> anyhow::Result<Option<Arc<Certificates>>> {
    let (Some(cert), Some(key)) = (&server.tls_cert, &server.tls_key) else {
        return Ok(None);
    };
    let certificates = Certificates::load(cert, key).context("server.tls_cert")?;
    Ok(Some(Arc::new(certificates)))
}

/// Takes up new files until `shutdown`; files that cannot be used leave the earlier ones in use.
pub(crate) async fn watch(
    certificates: Arc<Certificates>,
    interval: Duration,
    mut hangup: Signal,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            _ = hangup.recv() => {}
            () = tokio::time::sleep(interval) => {}
        }
        match certificates.reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!("A new certificate is in use"),
            Err(error) => {
                tracing::error!(%error, "The new certificate is no use; the earlier one stays");
            }
        }
    }
}

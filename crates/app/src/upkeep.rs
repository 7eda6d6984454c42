//! What the service does by itself now and then, beside the requests that it serves.

use std::time::Duration;

use service::Service;
use tokio_util::sync::CancellationToken;

/// How far the noted last use of a key may lag behind.
const INTERVAL: Duration = Duration::from_secs(30);

/// Runs until `shutdown`, and once more then.
pub(crate) async fn run(service: Service, audit_kept: Duration, shutdown: CancellationToken) {
    loop {
        let stopping = tokio::select! {
            biased;
            () = shutdown.cancelled() => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        if let Err(error) = service.keep_keys().await {
            tracing::warn!(%error, "The last uses of keys could not be noted");
        }
        loop {
            match service.prune_audit(audit_kept).await {
                Ok(true) if !shutdown.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "The audit trail could not be pruned");
                    break;
                }
            }
        }
        if stopping {
            return;
        }
    }
}

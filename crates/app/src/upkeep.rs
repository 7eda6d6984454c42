//! What the service does by itself now and then, beside the requests that it serves.

use std::time::Duration;

use service::Service;
use tokio_util::sync::CancellationToken;

/// How far the noted last use of a key may lag behind.
const INTERVAL: Duration = Duration::from_secs(30);

/// Runs until `shutdown`, and once more then.
pub(crate) async fn run(service: Service, audit_kept: Duration, shutdown: CancellationToken) {
    reseal(&service, &shutdown).await;
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

/// Seals anew what an earlier master key has sealed. What is left at a stop, the next start does.
async fn reseal(service: &Service, shutdown: &CancellationToken) {
    let mut progress = service.begin_resealing();
    while let Some(resealing) = &mut progress {
        if shutdown.is_cancelled() {
            return;
        }
        match service.reseal(resealing).await {
            Ok(true) => {
                let (count, failed) = (resealing.resealed, resealing.failed);
                if failed > 0 {
                    tracing::error!(count, failed, "Some secrets cannot be sealed anew");
                } else {
                    tracing::info!(count, "Earlier master keys seal nothing any more");
                }
                return;
            }
            Ok(false) => tokio::task::yield_now().await,
            Err(error) => {
                tracing::warn!(%error, "Sealing anew goes on after a while");
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
        }
    }
}

//! What the service does by itself now and then, beside the requests that it serves.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use service::Service;
use tokio_util::sync::CancellationToken;

/// How far the noted last use of a key may lag behind.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long things are kept that the engine does not look after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Entries of the audit trail.
    pub(crate) audit: Duration,
    /// Inbound requests.
    pub(crate) requests: Duration,
}

/// Runs until `shutdown`, and once more then.
pub(crate) async fn run(
    service: Service,
    kept: Kept,
    to_reseal: Gauge,
    shutdown: CancellationToken,
) {
    let jobs = tokio::spawn({
        let (service, shutdown) = (service.clone(), shutdown.clone());
        async move { service.run_request_jobs(shutdown.cancelled()).await }
    });
    reseal(&service, &to_reseal, &shutdown).await;
    loop {
        let stopping = tokio::select! {
            biased;
            () = shutdown.cancelled() => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        if let Err(error) = service.keep_keys().await {
            tracing::warn!(%error, "The last uses of keys could not be noted");
        }
        prune(&shutdown, || service.prune_audit(kept.audit)).await;
        prune(&shutdown, || service.prune_requests(kept.requests)).await;
        if stopping {
            // A step that is at work ends; what it did is noted with where the job stands.
            let _ = jobs.await;
            return;
        }
    }
}

/// Erases batch by batch until there is nothing left that is too old.
async fn prune<F>(shutdown: &CancellationToken, batch: impl Fn() -> F)
where
    F: Future<Output = Result<bool, service::Error>>,
{
    loop {
        match batch().await {
            Ok(true) if !shutdown.is_cancelled() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "What is too old could not be erased");
                return;
            }
        }
    }
}

/// Seals anew what an earlier master key has sealed. What is left at a stop, the next start does.
async fn reseal(service: &Service, to_reseal: &Gauge, shutdown: &CancellationToken) {
    let mut progress = service.begin_resealing();
    let mut all = 0;
    if progress.is_some() {
        // It is only shown: what is sealed anew is found again, batch by batch.
        all = service.count_to_reseal().await.unwrap_or_default();
    }
    while let Some(resealing) = &mut progress {
        if shutdown.is_cancelled() {
            return;
        }
        let left = all.saturating_sub(resealing.resealed);
        to_reseal.set(i64::try_from(left).unwrap_or(i64::MAX));
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

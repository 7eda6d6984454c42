//! Counts of what sources received.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use store::InboundVerdict;

use crate::Service;

/// Counts of what sources received, all sources together.
#[derive(Debug, Default)]
pub(crate) struct InboundMetrics {
    requests: Family<VerdictLabels, Counter>,
    unknown: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
    reason: String,
}

impl Service {
    /// Adds the service's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let metrics = &self.0.inbound_metrics;
        // There from the start, so that a rate of it is known from the first request on.
        let first = VerdictLabels {
            verdict: InboundVerdict::Accepted.slug(),
            reason: String::new(),
        };
        let _ = metrics.requests.get_or_create(&first);
        registry.register(
            "posthaste_inbound_requests",
            "Requests that sources received, by what became of them",
            metrics.requests.clone(),
        );
        registry.register(
            "posthaste_inbound_unknown",
            "Requests to inbound URLs that do not exist",
            metrics.unknown.clone(),
        );
    }

    /// Counts a request. Reasons are names of ours, so there are only so many.
    pub(crate) fn count_request(&self, verdict: InboundVerdict, reason: &str) {
        let labels = VerdictLabels {
            verdict: verdict.slug(),
            reason: reason.to_owned(),
        };
        self.0.inbound_metrics.requests.get_or_create(&labels).inc();
    }

    /// Counts a request to a URL that does not exist.
    pub fn count_unknown_source(&self) {
        self.0.inbound_metrics.unknown.inc();
    }
}

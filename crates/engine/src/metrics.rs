//! What the engine counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use store::Pruned;

use crate::publish::PublishError;
use crate::shared::Shared;

/// How attempts ended: `success`, or the class of the failure. Never a tenant or a URL, so the
/// number of series is bounded.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    pub(crate) outcome: String,
}

/// Why a publish was refused.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    pub(crate) reason: &'static str,
}

/// What was pruned.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) refused: Family<ReasonLabel, Counter>,
    pub(crate) attempts: Family<OutcomeLabel, Counter>,
    pub(crate) succeeded: Counter,
    pub(crate) dead_lettered: Counter,
    pub(crate) disabled: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) pruned: Family<KindLabel, Counter>,
    pub(crate) duration: Histogram,
    pub(crate) lag: Histogram,
    pub(crate) commit: Histogram,
    pub(crate) lanes: Gauge,
    pub(crate) lanes_behind: Gauge,
    pub(crate) breakers_open: Gauge,
    pub(crate) in_flight: Gauge,
    pub(crate) unrecorded: Gauge,
    pub(crate) payload_memory: Gauge,
    pub(crate) idle_connections: Gauge,
    pub(crate) clock_skew: Gauge,
}

const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0,
];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            refused: Family::default(),
            attempts: Family::default(),
            succeeded: Counter::default(),
            dead_lettered: Counter::default(),
            disabled: Counter::default(),
            abandoned: Counter::default(),
            pruned: Family::default(),
            duration: Histogram::new(SECONDS),
            lag: Histogram::new(SECONDS),
            commit: Histogram::new(SECONDS),
            lanes: Gauge::default(),
            lanes_behind: Gauge::default(),
            breakers_open: Gauge::default(),
            in_flight: Gauge::default(),
            unrecorded: Gauge::default(),
            payload_memory: Gauge::default(),
            idle_connections: Gauge::default(),
            clock_skew: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let refused = self.refused.clone();
        registry.register(
            "posthaste_ingest_rejected",
            "Publishes refused, by reason",
            refused,
        );
        let attempts = self.attempts.clone();
        registry.register(
            "posthaste_delivery_attempts",
            "Attempts made, by outcome",
            attempts,
        );
        // Shown from the start, so that a rate has something to begin from.
        self.pruned(&Pruned::default());
        registry.register(
            "posthaste_pruned",
            "What retention erased, by kind",
            self.pruned.clone(),
        );
        for (name, help, metric) in [
            ("messages_accepted", "Messages stored", &self.accepted),
            (
                "deliveries_succeeded",
                "Deliveries accepted",
                &self.succeeded,
            ),
            (
                "deliveries_dead_lettered",
                "Deliveries given up",
                &self.dead_lettered,
            ),
            (
                "endpoints_disabled",
                "Endpoints disabled for failing",
                &self.disabled,
            ),
            (
                "outcomes_abandoned",
                "Outcomes that the store refused for ever",
                &self.abandoned,
            ),
        ] {
            registry.register(format!("posthaste_{name}"), help, metric.clone());
        }
        for (name, help, metric) in [
            (
                "delivery_duration_seconds",
                "Time of an attempt",
                &self.duration,
            ),
            (
                "delivery_lag_seconds",
                "From due to first attempt",
                &self.lag,
            ),
            ("db_commit_seconds", "Time of an append", &self.commit),
        ] {
            registry.register(format!("posthaste_{name}"), help, metric.clone());
        }
        self.register_gauges(registry);
    }

    /// Counts what one pruning transaction erased.
    pub(crate) fn pruned(&self, pruned: &Pruned) {
        for (kind, rows) in [
            ("payloads", pruned.payloads),
            ("history", pruned.history),
            ("deliveries", pruned.deliveries),
            ("idempotency", pruned.idempotency),
        ] {
            self.pruned.get_or_create(&KindLabel { kind }).inc_by(rows);
        }
    }

    fn register_gauges(&self, registry: &mut Registry) {
        for (name, help, metric) in [
            ("lanes", "Destinations in memory", &self.lanes),
            (
                "lanes_behind",
                "Lanes with leftovers in the store",
                &self.lanes_behind,
            ),
            (
                "breakers_open",
                "Lanes with an open breaker",
                &self.breakers_open,
            ),
            ("attempts_in_flight", "Attempts in flight", &self.in_flight),
            (
                "outcomes_unrecorded",
                "Outcomes not yet durable",
                &self.unrecorded,
            ),
            (
                "payload_memory_bytes",
                "Payload bytes in memory",
                &self.payload_memory,
            ),
            (
                "idle_connections",
                "Idle connections kept",
                &self.idle_connections,
            ),
            (
                "clock_skew_seconds",
                "How far receivers' clocks are ahead, by their answers",
                &self.clock_skew,
            ),
        ] {
            registry.register(format!("posthaste_{name}"), help, metric.clone());
        }
    }
}

impl Shared {
    pub(crate) fn refused(&self, error: &PublishError) {
        let reason = match error {
            PublishError::NoApplication => "no_application",
            PublishError::EventIdTaken { .. } => "event_id_taken",
            PublishError::KeyReused => "idempotency_key_reused",
            PublishError::SourceChanged => "source_changed",
            PublishError::Busy => "busy",
            PublishError::Full => "disk_full",
            PublishError::ShuttingDown => "shutting_down",
            PublishError::Failed(_) => "failed",
        };
        self.metrics
            .refused
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    pub(crate) fn refresh_gauges(&self) {
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let lanes = self.lanes();
        let (count, behind, open) = lanes.counts();
        let (in_flight, unrecorded) = lanes.in_hand();
        drop(lanes);
        let metrics = &self.metrics;
        metrics.clock_skew.set(self.skew.seconds());
        for (gauge, value) in [
            (&metrics.lanes, count),
            (&metrics.lanes_behind, behind),
            (&metrics.breakers_open, open),
            (&metrics.in_flight, in_flight),
            (&metrics.unrecorded, unrecorded),
            (&metrics.payload_memory, self.budget.used()),
            (&metrics.idle_connections, self.connections.count()),
        ] {
            set(gauge, value);
        }
    }
}

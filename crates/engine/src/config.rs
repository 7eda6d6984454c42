//! Every limit and default of the engine, in one place.

use std::time::Duration;

use domain::RetryPolicy;
use env::ResponseLimits;
use store::ApplicationRef;

use crate::forward::ForwardLimits;
use crate::in_hand::Suspects;

/// How the engine behaves; each field is a setting of the same name.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes of payload held in memory over all lanes and attempts in flight.
    pub payload_memory: usize,
    /// Deliveries one lane holds in memory; the rest waits in the store.
    pub lane_queue_max: usize,
    /// Attempts in flight and outcomes not yet recorded, over all lanes.
    pub in_flight_max: usize,
    /// Attempts in flight at once to a destination that nothing is known about.
    pub concurrency_start: u16,
    /// Attempts in flight at once to a destination that answers fast.
    pub concurrency_max: u16,
    /// How long a destination that recovered is ramped up from one attempt at a time.
    pub slow_start: Duration,
    /// One deadline over name look-up, connect, TLS, headers and body of an attempt.
    pub attempt_deadline: Duration,
    /// How much of an answer is read and kept.
    pub response: ResponseLimits,
    /// How much of a received request's headers is passed on.
    pub forward: ForwardLimits,
    /// When attempts follow each other.
    pub retry: RetryPolicy,
    /// Consecutive failures that open the breaker …
    pub breaker_failures: u32,
    /// … once they have lasted this long.
    pub breaker_after: Duration,
    /// How long an endpoint may fail, with a delivery given up, before it is disabled; zero is for
    /// ever.
    pub disable_after: Duration,
    /// The operator's application, to which operational messages are published.
    pub operations: Option<ApplicationRef>,
    /// Time between probes of a destination whose breaker is open.
    pub breaker_probe: Duration,
    /// Idle connections kept over all lanes; the longest idle one goes first.
    pub idle_connections_max: usize,
    /// How long an idle connection is kept.
    pub idle_connection_timeout: Duration,
    /// Publishes that wait to be stored, beyond which callers are told to come again.
    pub intake_waiting_max: usize,
    /// Payload bytes that wait to be stored.
    pub intake_waiting_bytes: usize,
    /// Publishes stored in one batch.
    pub intake_batch_max: usize,
    /// Deliveries read from the store at once.
    pub claim_room: u16,
    /// Reads of due deliveries that run at once.
    pub claims_max: usize,
    /// How often the store is asked for destinations that memory has forgotten.
    pub sweep_interval: Duration,
    /// How often the pruner looks for work.
    pub prune_interval: Duration,
    /// Rows that one pruning transaction touches.
    pub prune_rows: u16,
    /// How long payloads are kept when the publisher did not say.
    pub payload_retention: Duration,
    /// How long messages and attempts are listed.
    pub history_retention: Duration,
    /// How long the counters per endpoint and minute are kept.
    pub statistics_retention: Duration,
    /// The value of the `user-agent` header.
    pub user_agent: String,
    /// The last run ended uncleanly: destinations start with a quarter of the concurrency.
    pub cautious: bool,
    /// What was in hand at each of the last crashes.
    pub suspects: Suspects,
}

impl Default for EngineConfig {
    fn default() -> Self {
        const DAY: u64 = 24 * 3_600;
        Self {
            payload_memory: 64 * 1024 * 1024,
            lane_queue_max: 1_024,
            in_flight_max: 2_048,
            concurrency_start: 8,
            concurrency_max: 64,
            slow_start: Duration::from_secs(5),
            attempt_deadline: Duration::from_secs(20),
            response: ResponseLimits::default(),
            forward: ForwardLimits::default(),
            retry: RetryPolicy::default(),
            breaker_failures: 20,
            breaker_after: Duration::from_secs(10),
            disable_after: Duration::from_secs(5 * DAY),
            operations: None,
            breaker_probe: Duration::from_secs(10),
            idle_connections_max: 1_024,
            idle_connection_timeout: Duration::from_secs(55),
            intake_waiting_max: 4_096,
            intake_waiting_bytes: 64 * 1024 * 1024,
            intake_batch_max: 512,
            claim_room: 512,
            claims_max: 2,
            sweep_interval: Duration::from_secs(30),
            prune_interval: Duration::from_secs(10),
            prune_rows: 500,
            payload_retention: Duration::from_secs(90 * DAY),
            history_retention: Duration::from_secs(90 * DAY),
            statistics_retention: Duration::from_secs(90 * DAY),
            user_agent: concat!("posthaste/", env!("CARGO_PKG_VERSION")).to_owned(),
            cautious: false,
            suspects: Suspects::default(),
        }
    }
}

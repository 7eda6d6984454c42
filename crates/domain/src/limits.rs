//! Every limit on what callers may send or create, in one place, with its default.

use std::time::Duration;

/// Sizes and counts that are refused beyond. Each is a setting `limits.<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message's payload.
    pub payload_bytes: usize,
    /// Bytes of any other request body.
    pub body_bytes: usize,
    /// Bytes of one batch publish request.
    pub batch_bytes: usize,
    /// Bytes of all request bodies together that are read and worked on at once.
    pub bodies_bytes: usize,
    /// Messages in one batch publish request.
    pub batch_messages: usize,
    /// Applications of one organization.
    pub applications: usize,
    /// Event types of one organization, archived ones too.
    pub event_types: usize,
    /// API keys of one organization, expired ones too; portal tokens do not count.
    pub keys: usize,
    /// Endpoints of one application.
    pub endpoints_per_application: usize,
    /// Replays and other jobs of one application that are running or paused at once.
    pub jobs_per_application: usize,
    /// Channels of one message or endpoint.
    pub channels: usize,
    /// Tags of one message.
    pub tags: usize,
    /// Event types and patterns that one endpoint can name.
    pub event_types_per_endpoint: usize,
    /// Characters of an application's name.
    pub name_chars: usize,
    /// Characters of an endpoint's or event type's description.
    pub description_chars: usize,
    /// Custom headers of one endpoint.
    pub endpoint_headers: usize,
    /// Bytes of one custom header's value.
    pub endpoint_header_bytes: usize,
    /// Entries of an object's metadata.
    pub metadata_entries: usize,
    /// Bytes of an object's metadata, keys and values together.
    pub metadata_bytes: usize,
    /// Characters of an endpoint's URL.
    pub url_chars: usize,
    /// Secrets of one endpoint that are live at once during rotation.
    pub secrets_per_endpoint: usize,
    /// Bytes of an `Idempotency-Key`.
    pub idempotency_key_bytes: usize,
    /// Feature flags of one portal token or event type.
    pub portal_flags: usize,
    /// Sessions that one call names to expire their portal tokens.
    pub portal_sessions: usize,
    /// Characters of a portal session's name.
    pub session_chars: usize,
    /// Streams of messages that are open at once.
    pub streams: usize,
    /// Bytes of an event type's JSON Schemas.
    pub schema_bytes: usize,
    /// Versions of an event type's schema.
    pub schema_versions: usize,
    /// Schemas within one schema, itself and every part that is one.
    pub schema_nodes: usize,
    /// Patterns in one schema.
    pub schema_patterns: usize,
    /// Steps of checking one payload against a schema.
    pub schema_steps: u64,
    /// Attempts of an endpoint's own retry schedule.
    pub retry_attempts: usize,
    /// Length of an endpoint's own retry schedule, all waits together.
    pub retry_total: Duration,
    /// An endpoint's own time for one attempt.
    pub endpoint_timeout: Duration,
    /// An endpoint's own number of attempts in flight at once.
    pub endpoint_concurrency: u16,
    /// Sources of one application.
    pub sources_per_application: usize,
    /// Secrets of one source that are live at once.
    pub secrets_per_source: usize,
    /// Bytes of an inbound request's body, unless its source allows fewer.
    pub inbound_bytes: usize,
    /// Messages that one inbound request can be.
    pub inbound_messages: usize,
    /// How long a source can notice repeats.
    pub deduplication_window: Duration,
    /// Bytes of a refused request's body that are kept.
    pub rejected_bytes: usize,
    /// Refused requests of one source that are kept per second.
    pub rejected_per_second: u32,
    /// Refused requests of one source that are kept at once after a pause.
    pub rejected_burst: u32,
    /// How much later refused requests of one source are answered while more come than are kept.
    pub refusal_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 1024 * 1024,
            body_bytes: 256 * 1024,
            batch_bytes: 5 * 1024 * 1024,
            bodies_bytes: 32 * 1024 * 1024,
            batch_messages: 1_000,
            applications: 100_000,
            event_types: 10_000,
            keys: 1_000,
            endpoints_per_application: 10_000,
            jobs_per_application: 16,
            channels: 10,
            tags: 8,
            event_types_per_endpoint: 256,
            name_chars: 256,
            description_chars: 4_096,
            endpoint_headers: 40,
            endpoint_header_bytes: 4_096,
            metadata_entries: 256,
            metadata_bytes: 16 * 1024,
            url_chars: 8_192,
            secrets_per_endpoint: 5,
            idempotency_key_bytes: 256,
            portal_flags: 64,
            portal_sessions: 1_000,
            session_chars: 256,
            streams: 64,
            schema_bytes: 128 * 1024,
            schema_versions: 64,
            schema_nodes: 5_000,
            schema_patterns: 64,
            schema_steps: 200_000,
            retry_attempts: crate::RetrySchedule::ENTRIES_MAX,
            retry_total: Duration::from_hours(30 * 24),
            endpoint_timeout: Duration::from_mins(2),
            endpoint_concurrency: 256,
            sources_per_application: 1_000,
            secrets_per_source: 5,
            inbound_bytes: 10 * 1024 * 1024,
            inbound_messages: 1_000,
            deduplication_window: Duration::from_hours(30 * 24),
            rejected_bytes: 64 * 1024,
            rejected_per_second: 20,
            rejected_burst: 200,
            refusal_delay: Duration::from_millis(100),
        }
    }
}

//! `[limits]`: what callers may send and create.

use serde::{Deserialize, Serialize};

use super::values::{Size, Span};

/// What callers may send and create.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Bytes of one message's payload.
    pub(crate) payload: Size,
    /// Bytes of any other request body.
    pub(crate) body: Size,
    /// Bytes of one batch publish.
    pub(crate) batch: Size,
    /// Bytes of all request bodies that are read and worked on at once.
    pub(crate) bodies: Size,
    /// Messages in one batch publish.
    pub(crate) batch_messages: usize,
    /// Applications of one organization.
    pub(crate) applications: usize,
    /// Event types of one organization, archived ones too.
    pub(crate) event_types: usize,
    /// API keys of one organization, expired ones too; portal tokens do not count.
    pub(crate) keys: usize,
    /// Endpoints of one application.
    pub(crate) endpoints_per_application: usize,
    pub(crate) jobs_per_application: usize,
    /// Channels of one message or endpoint.
    pub(crate) channels: usize,
    /// Tags of one message.
    pub(crate) tags: usize,
    /// Event types and patterns that one endpoint can name.
    pub(crate) event_types_per_endpoint: usize,
    /// Characters of an application's name.
    pub(crate) name_chars: usize,
    /// Characters of a description.
    pub(crate) description_chars: usize,
    /// Custom headers of one endpoint.
    pub(crate) endpoint_headers: usize,
    /// Bytes of one custom header's value.
    pub(crate) endpoint_header: Size,
    /// Entries of an object's metadata.
    pub(crate) metadata_entries: usize,
    /// Bytes of an object's metadata, keys and values together.
    pub(crate) metadata: Size,
    /// Characters of an endpoint's URL.
    pub(crate) url_chars: usize,
    /// Secrets of one endpoint that are live at once during rotation.
    pub(crate) secrets_per_endpoint: usize,
    /// Bytes of an `Idempotency-Key`.
    pub(crate) idempotency_key: Size,
    /// Feature flags of one portal token or event type.
    pub(crate) portal_flags: usize,
    /// Sessions that one call names to expire their portal tokens.
    pub(crate) portal_sessions: usize,
    /// Characters of a portal session's name.
    pub(crate) session_chars: usize,
    /// Streams of messages that are open at once.
    pub(crate) streams: usize,
    /// Bytes of an event type's JSON Schemas.
    pub(crate) schema: Size,
    /// Versions of an event type's schema.
    pub(crate) schema_versions: usize,
    /// Schemas within one schema, itself and every part that is one.
    pub(crate) schema_nodes: usize,
    /// Patterns in one schema.
    pub(crate) schema_patterns: usize,
    /// Steps of checking one payload against a schema.
    pub(crate) schema_steps: u64,
    /// Attempts of an endpoint's own retry schedule; at most 50.
    pub(crate) retry_attempts: usize,
    /// Length of an endpoint's own retry schedule, all waits together.
    pub(crate) retry_total: Span,
    /// An endpoint's own time for one attempt, at the most.
    pub(crate) endpoint_timeout: Span,
    /// An endpoint's own number of attempts in flight at once, at the most.
    pub(crate) endpoint_concurrency: u16,
    /// Sources of one application.
    pub(crate) sources_per_application: usize,
    /// Secrets of one source that are live at once.
    pub(crate) secrets_per_source: usize,
    /// Bytes of an inbound request's body, unless its source allows fewer.
    pub(crate) inbound: Size,
    /// Messages that one inbound request can be.
    pub(crate) inbound_messages: usize,
    /// How long a source can notice repeats, at the most.
    pub(crate) deduplication_window: Span,
    /// Bytes of a refused inbound request's body that are kept.
    pub(crate) rejected: Size,
    /// Refused requests of one source that are kept per second; the others are counted.
    pub(crate) rejected_per_second: u32,
    /// Refused requests of one source that are kept at once after a pause.
    pub(crate) rejected_burst: u32,
    /// How much later refused requests of one source are answered while more come than are kept.
    pub(crate) refusal_delay: Span,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = domain::Limits::default();
        Self {
            payload: Size(limits.payload_bytes),
            body: Size(limits.body_bytes),
            batch: Size(limits.batch_bytes),
            bodies: Size(limits.bodies_bytes),
            batch_messages: limits.batch_messages,
            applications: limits.applications,
            event_types: limits.event_types,
            keys: limits.keys,
            endpoints_per_application: limits.endpoints_per_application,
            jobs_per_application: limits.jobs_per_application,
            channels: limits.channels,
            tags: limits.tags,
            event_types_per_endpoint: limits.event_types_per_endpoint,
            name_chars: limits.name_chars,
            description_chars: limits.description_chars,
            endpoint_headers: limits.endpoint_headers,
            endpoint_header: Size(limits.endpoint_header_bytes),
            metadata_entries: limits.metadata_entries,
            metadata: Size(limits.metadata_bytes),
            url_chars: limits.url_chars,
            secrets_per_endpoint: limits.secrets_per_endpoint,
            idempotency_key: Size(limits.idempotency_key_bytes),
            portal_flags: limits.portal_flags,
            portal_sessions: limits.portal_sessions,
            session_chars: limits.session_chars,
            streams: limits.streams,
            schema: Size(limits.schema_bytes),
            schema_versions: limits.schema_versions,
            schema_nodes: limits.schema_nodes,
            schema_patterns: limits.schema_patterns,
            schema_steps: limits.schema_steps,
            retry_attempts: limits.retry_attempts,
            retry_total: Span(limits.retry_total),
            endpoint_timeout: Span(limits.endpoint_timeout),
            endpoint_concurrency: limits.endpoint_concurrency,
            sources_per_application: limits.sources_per_application,
            secrets_per_source: limits.secrets_per_source,
            inbound: Size(limits.inbound_bytes),
            inbound_messages: limits.inbound_messages,
            deduplication_window: Span(limits.deduplication_window),
            rejected: Size(limits.rejected_bytes),
            rejected_per_second: limits.rejected_per_second,
            rejected_burst: limits.rejected_burst,
            refusal_delay: Span(limits.refusal_delay),
        }
    }
}

impl Limits {
    /// Whatever is allowed alone must fit among all.
    pub(crate) fn check_bodies(&self) -> Result<(), String> {
        let publish = self.payload.0.saturating_add(self.body.0);
        // Those of sources are known when they are read, and each is at most this.
        let largest = publish.max(self.batch.0).max(self.inbound.0);
        if self.bodies.0 < largest {
            return Err(format!(
                "must be at least {largest} bytes, as one body may have"
            ));
        }
        Ok(())
    }
}

impl Limits {
    /// Returns the limits on what callers send.
    pub(crate) fn domain(&self) -> domain::Limits {
        let limits = self;
        domain::Limits {
            payload_bytes: limits.payload.0,
            body_bytes: limits.body.0,
            batch_bytes: limits.batch.0,
            bodies_bytes: limits.bodies.0,
            batch_messages: limits.batch_messages,
            applications: limits.applications,
            event_types: limits.event_types,
            keys: limits.keys,
            endpoints_per_application: limits.endpoints_per_application,
            jobs_per_application: limits.jobs_per_application,
            channels: limits.channels,
            tags: limits.tags,
            event_types_per_endpoint: limits.event_types_per_endpoint,
            name_chars: limits.name_chars,
            description_chars: limits.description_chars,
            endpoint_headers: limits.endpoint_headers,
            endpoint_header_bytes: limits.endpoint_header.0,
            metadata_entries: limits.metadata_entries,
            metadata_bytes: limits.metadata.0,
            url_chars: limits.url_chars,
            secrets_per_endpoint: limits.secrets_per_endpoint,
            idempotency_key_bytes: limits.idempotency_key.0,
            portal_flags: limits.portal_flags,
            portal_sessions: limits.portal_sessions,
            session_chars: limits.session_chars,
            streams: limits.streams,
            schema_bytes: limits.schema.0,
            schema_versions: limits.schema_versions,
            schema_nodes: limits.schema_nodes,
            schema_patterns: limits.schema_patterns,
            schema_steps: limits.schema_steps,
            retry_attempts: limits.retry_attempts,
            retry_total: limits.retry_total.0,
            endpoint_timeout: limits.endpoint_timeout.0,
            endpoint_concurrency: limits.endpoint_concurrency,
            sources_per_application: limits.sources_per_application,
            secrets_per_source: limits.secrets_per_source,
            inbound_bytes: limits.inbound.0,
            inbound_messages: limits.inbound_messages,
            deduplication_window: limits.deduplication_window.0,
            rejected_bytes: limits.rejected.0,
            rejected_per_second: limits.rejected_per_second,
            rejected_burst: limits.rejected_burst,
            refusal_delay: limits.refusal_delay.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_may_have_at_least_what_one_may() {
        let limits = |bodies, inbound| Limits {
            bodies: Size(bodies),
            inbound: Size(inbound),
            ..Limits::default()
        };

        assert_eq!(Limits::default().check_bodies(), Ok(()));
        assert!(limits(20_000_000, 20_000_000).check_bodies().is_ok());
        let fault = limits(19_999_999, 20_000_000).check_bodies().unwrap_err();
        assert!(fault.contains("at least 20000000 bytes"), "{fault}");
    }
}

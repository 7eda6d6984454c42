//! Commands and queries over store and engine: what the API and the pages both call.
//!
//! What callers give is checked here, once, into domain types; every fault is reported with its
//! place ([`FieldError`]). What is stored secretly is sealed here, and opened only to be shown to
//! whoever may see it. After every write that routing or delivery reads, the engine is told before
//! the caller is answered.
//!
//! What this crate does not do: it knows no HTTP and no wire format.
#![warn(missing_docs)]

mod api_keys;
mod applications;
mod attempts;
mod audit;
mod caller;
mod endpoint_headers;
mod endpoint_messages;
mod endpoints;
mod error;
mod event_type_import;
mod event_types;
mod events;
mod examples;
mod fetch;
mod fields;
mod handshakes;
mod idempotency;
mod inbound_headers;
mod inbound_metrics;
mod jobs;
mod keys;
mod live_sources;
mod messages;
mod portal;
mod publish;
mod quota;
mod readiness;
mod receive;
mod rejections;
mod request_jobs;
mod request_replay;
mod requests;
mod reseal;
mod schemas;
mod secrets;
mod source_compare;
mod source_settings;
mod sources;
mod stream;
mod trace;
mod tuning;

use std::sync::Arc;

use domain::{AddressPolicy, Limits, Timestamp, TrustedProxies};
use engine::Engine;
use env::{Clock, Egress, Entropy, Ids};
use tokio::sync::{Semaphore, watch};
use vault::Vault;

pub use api_keys::{ApiKeyInput, ApiKeyPatch, QuotaPatch};
pub use applications::{ApplicationInput, ApplicationPatch};
pub use attempts::AttemptQuery;
pub use audit::{AuditQuery, AuditVerdict};
pub use caller::{Caller, RequestId};
pub use endpoint_headers::EndpointHeaders;
pub use endpoint_messages::{
    AttemptedMessage, DeliveryStatus, EndpointMessageQuery, EndpointStats,
};
pub use endpoints::{EndpointInput, EndpointPatch};
pub use engine::Published;
pub use error::{Error, FieldError};
pub use event_type_import::ImportedEventType;
pub use event_types::{EventTypeInput, EventTypePatch};
pub use examples::ExampleInput;
pub use fetch::FetchError;
pub use handshakes::HandshakeAnswer;
pub use idempotency::IdempotentRequest;
pub use jobs::{ReplayInput, ReplayPreview};
pub use live_sources::{ActivitySeen, LiveSource};
pub use messages::{Destination, MessageQuery};
pub use portal::{PortalAccess, PortalAccessInput, PortalSettings};
pub use publish::{MessageInput, PayloadInput, PublishInput};
pub use quota::{Allowance, Quota, Standing};
pub use readiness::NotReady;
pub use receive::{Incoming, Received, Refusal, Taken};
pub use request_jobs::RequestsReplayInput;
pub use request_replay::RequestReplayed;
pub use requests::{RequestQuery, RequestView};
pub use reseal::Resealing;
pub use secrets::{EndpointKey, RotationInput, SecretInput, SignatureKind};
pub use signature::scheme;
pub use source_compare::{SourceCompared, SourceSecrets};
pub use source_settings::{
    CUSTOM, Deduplication, EventTypeRule, OnConflict, ReplayGuard, ResponseRule, SourceSettings,
    VerifyMode, verify_token_hash,
};
pub use sources::{SourceInput, SourceRotation, SourceView};
pub use store::{
    ApiKeyRow, Application, ApplicationRef, AttemptCursor, AttemptRow, AuditRow, Capability,
    Cursor, Endpoint, EndpointRef, EventTypeRow, Idempotency, InboundMarks, InboundRow,
    InboundSearch, InboundVerdict, Job, JobAction, JobFilter, JobKind, JobState, KeyQuota,
    MessageDestination, MessageRef, MessageRow, Order, Page, PageRequest, Payload, ReplayOf,
    RequestCriteria, RequestReplay, Scope, Source, SourceRef, SourceSecret, Span,
};
pub use stream::{MessageStream, StreamInput, Streamed};
pub use trace::{Trace, TraceVerdict};
pub use tuning::TuningInput;

/// What the service works with.
#[derive(Clone)]
pub struct Dependencies {
    /// What is kept.
    pub store: Arc<dyn store::Store>,
    /// What publishes and delivers.
    pub engine: Engine,
    /// Seals secrets.
    pub vault: Arc<Vault>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Makes ids; shared with the engine, so that ids of one process never repeat.
    pub ids: Arc<Ids>,
    /// What callers may send and create.
    pub limits: Limits,
    /// The way out, for what providers have to be asked.
    pub egress: Arc<dyn Egress>,
    /// Who may say where a request came from.
    pub proxies: TrustedProxies,
    /// Which destinations are allowed.
    pub addresses: AddressPolicy,
    /// Where the portal is.
    pub portal: PortalSettings,
    /// How much keys may do that say nothing else.
    pub quota: Quota,
}

/// The commands and queries. A clone is the same service.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    world: Dependencies,
    keys: keys::Cache,
    buckets: quota::Buckets,
    schemas: schemas::Cache,
    readiness: readiness::Cache,
    fetcher: fetch::Fetcher,
    at_work: idempotency::AtWork,
    sources: live_sources::LiveSources,
    rejections: rejections::Rejections,
    /// A job that puts requests in again may have something to do.
    request_jobs: tokio::sync::Notify,
    inbound_metrics: inbound_metrics::InboundMetrics,
    stopping: watch::Sender<bool>,
    /// Streams that may be opened besides those that are open.
    streams: Arc<Semaphore>,
    /// Held from reading an endpoint's headers to writing them: a patch depends on what it read.
    headers: tokio::sync::Mutex<()>,
}

/// Something that was made now, or was there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upserted<T> {
    /// Made now.
    Created(T),
    /// Was there: found, or changed.
    Existing(T),
}

impl Service {
    /// Makes the service.
    pub fn new(dependencies: Dependencies) -> Self {
        let streams = dependencies.limits.streams;
        let egress = Arc::clone(&dependencies.egress);
        let fetcher = fetch::Fetcher::new(egress, Arc::clone(&dependencies.clock));
        Self(Arc::new(Inner {
            world: dependencies,
            keys: keys::Cache::default(),
            buckets: quota::Buckets::default(),
            schemas: schemas::Cache::default(),
            readiness: readiness::Cache::default(),
            fetcher,
            at_work: idempotency::AtWork::default(),
            sources: live_sources::LiveSources::default(),
            rejections: rejections::Rejections::default(),
            request_jobs: tokio::sync::Notify::new(),
            inbound_metrics: inbound_metrics::InboundMetrics::default(),
            stopping: watch::Sender::new(false),
            streams: Arc::new(Semaphore::new(streams)),
            headers: tokio::sync::Mutex::new(()),
        }))
    }

    /// Returns what callers may send and create.
    pub fn limits(&self) -> &Limits {
        &self.0.world.limits
    }

    fn store(&self) -> &dyn store::Store {
        self.0.world.store.as_ref()
    }

    /// Returns the store with the caller as the author of what it changes.
    fn store_as(&self, caller: Caller) -> Arc<dyn store::Store> {
        let request = caller.request.map(|request| request.to_string());
        let key = caller.key;
        self.store().authored(store::Author { key, request })
    }

    fn engine(&self) -> &Engine {
        &self.0.world.engine
    }

    fn now(&self) -> Timestamp {
        self.0.world.clock.now()
    }

    /// Returns the 128 bits of a fresh id.
    fn fresh_id(&self, now: Timestamp) -> u128 {
        let world = &self.0.world;
        world.ids.next(now, world.entropy.as_ref())
    }
}

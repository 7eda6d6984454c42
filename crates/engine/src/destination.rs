//! An endpoint, ready to be sent to: secrets opened, headers prepared.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::{
    ApplicationKey, Channel, EndpointId, EndpointKey, EventType, EventTypeFilter, MessageKey,
    RetrySchedule, ShardId, Subscription, TargetUrl, Tuning, UrlKey,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use store::{Application, Endpoint};
use vault::Vault;

use crate::EngineConfig;
use crate::patterns::Patterns;
use crate::sign::Signer;

/// What lanes and senders need to know of an endpoint, as of one version of it.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) key: EndpointKey,
    pub(crate) id: EndpointId,
    pub(crate) application: ApplicationKey,
    pub(crate) shard: ShardId,
    pub(crate) target: Arc<TargetUrl>,
    pub(crate) url_key: UrlKey,
    pub(crate) subscription: Subscription,
    pub(crate) throttle_rate: Option<u16>,
    /// How the endpoint asked to be called.
    pub(crate) tuning: Tuning,
    /// The rate of the whole application.
    pub(crate) application_rate: Option<u16>,
    /// Disabled or deleted: its pending deliveries are canceled.
    pub(crate) gone: bool,
    pub(crate) paused: bool,
    /// A delivery of a message up to this one may have been canceled; the store knows.
    pub(crate) canceled_through: Option<MessageKey>,
    pub(crate) version: u64,
    /// The endpoint's own headers, sent as they are.
    pub(crate) headers: HeaderMap,
    /// Signs, or says why it cannot; attempts then fail and are retried, nothing is dropped.
    pub(crate) signer: Result<Signer, String>,
}

impl Destination {
    /// Returns the waits between attempts: the endpoint's own, or the server's.
    pub(crate) fn schedule<'a>(&'a self, config: &'a EngineConfig) -> &'a RetrySchedule {
        let own = self.tuning.retry_schedule.as_ref();
        own.unwrap_or(&config.retry.schedule)
    }

    /// Returns how many attempts may be in flight at once.
    pub(crate) fn concurrency(&self, config: &EngineConfig) -> u16 {
        self.tuning.concurrency.unwrap_or(config.concurrency_max)
    }

    /// Returns the time for one attempt.
    pub(crate) fn timeout(&self, config: &EngineConfig) -> Duration {
        self.tuning.timeout.unwrap_or(config.attempt_deadline)
    }

    pub(crate) fn new(endpoint: &Endpoint, vault: &Vault) -> Self {
        Self {
            key: endpoint.key,
            id: endpoint.id,
            application: endpoint.application,
            shard: ShardId::of(endpoint.id),
            target: Arc::new(endpoint.url.clone()),
            url_key: endpoint.url_key,
            subscription: endpoint.subscription.clone(),
            throttle_rate: endpoint.throttle_rate,
            tuning: endpoint.tuning.clone(),
            application_rate: endpoint.application_throttle_rate,
            gone: endpoint.disabled.is_some() || endpoint.deleted.is_some(),
            paused: endpoint.paused,
            canceled_through: endpoint.canceled_through,
            version: endpoint.version,
            headers: open_headers(endpoint, vault).unwrap_or_default(),
            signer: Signer::open(endpoint, vault),
        }
    }
}

/// Opens the sealed headers: a JSON object of names and values, checked before it was sealed.
fn open_headers(endpoint: &Endpoint, vault: &Vault) -> Option<HeaderMap> {
    let sealed = endpoint.headers.as_ref()?;
    let binding = vault::Binding {
        purpose: vault::Purpose::EndpointHeaders,
        owner: endpoint.id.bits(),
    };
    let opened = vault
        .open(&sealed.0, &binding)
        .inspect_err(|error| {
            tracing::error!(endpoint.id = %endpoint.id, %error, "Custom headers cannot be opened");
        })
        .ok()?;
    let pairs: BTreeMap<String, String> = serde_json::from_slice(&opened).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(&value).ok()?);
    }
    Some(headers)
}

/// All that routing knows of an application, as of one version.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) application: Application,
    pub(crate) version: u64,
    pub(crate) destinations: Vec<Arc<Destination>>,
    /// Positions in `destinations` of those that asked for a type by name, by pattern, or not.
    by_type: HashMap<EventType, Vec<usize>>,
    by_pattern: Patterns,
    any_type: Vec<usize>,
}

impl Routes {
    pub(crate) fn new(stored: store::Routes, vault: &Vault) -> Self {
        let mut routes = Self {
            application: stored.application,
            version: stored.version,
            destinations: Vec::with_capacity(stored.endpoints.len()),
            by_type: HashMap::new(),
            by_pattern: Patterns::default(),
            any_type: Vec::new(),
        };
        for endpoint in &stored.endpoints {
            let destination = Destination::new(endpoint, vault);
            if destination.gone {
                continue; // Publishing to a disabled endpoint makes no delivery.
            }
            let position = routes.destinations.len();
            match &destination.subscription.event_types {
                None => routes.any_type.push(position),
                Some(filters) => routes.add(filters, position),
            }
            routes.destinations.push(Arc::new(destination));
        }
        routes
    }

    fn add(&mut self, filters: &[EventTypeFilter], position: usize) {
        for filter in filters {
            match filter {
                EventTypeFilter::Literal(name) => {
                    self.by_type.entry(name.clone()).or_default().push(position);
                }
                EventTypeFilter::Pattern(pattern) => self.by_pattern.insert(pattern, position),
            }
        }
    }

    /// Returns one destination, if it gets anything at all.
    pub(crate) fn only(&self, endpoint: EndpointKey) -> Vec<Arc<Destination>> {
        let mut all = self.destinations.iter();
        let found = all.find(|destination| destination.key == endpoint);
        found.cloned().into_iter().collect()
    }

    /// Returns the destinations of a message, in the order of their keys.
    pub(crate) fn matching(
        &self,
        event_type: &EventType,
        channels: &[Channel],
    ) -> Vec<Arc<Destination>> {
        let named = self.by_type.get(event_type).map_or(&[][..], Vec::as_slice);
        let mut positions: Vec<usize> = named.iter().chain(&self.any_type).copied().collect();
        self.by_pattern.find(event_type, &mut positions);
        positions.sort_unstable();
        positions.dedup();
        positions
            .into_iter()
            .map(|position| &self.destinations[position])
            .filter(|destination| destination.subscription.matches_channels(channels))
            .cloned()
            .collect()
    }
}

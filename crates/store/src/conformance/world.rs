//! An application with endpoints and messages, in few words.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use domain::{
    ApplicationId, AttemptNumber, AttemptStatus, Channel, DisabledReason, EndpointId, EndpointKey,
    Epoch, EventId, EventType, IdSequence, InboundId, MessageId, OrganizationId, OrganizationKey,
    Phases, ShardId, SourceId, Subscription, TargetUrl, Timestamp, Trigger, Uid,
};

use crate::{
    AfterAttempt, Application, ApplicationRef, AttemptRecord, Claim, Claimed, Cursor, Endpoint,
    EndpointChange, EndpointRef, Idempotency, IdempotencyKind, InboundMarks, InboundVerdict,
    MessageDestination, MessageRef, MessageRow, NewApplication, NewEndpoint, NewInbound,
    NewMessage, NewSource, OnEventId, Order, PageRequest, Payload, Publish, PublishOutcome,
    Recorded, Resend, Resent, Sealed, Source, SourceToken, Store,
};

/// When cases begin: any whole hour would do.
pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_760_000_400);

/// One application, and words for what happens in it.
pub struct World<'s> {
    /// The store under test.
    pub store: &'s dyn Store,
    /// Who owns the application.
    pub organization: OrganizationKey,
    /// The application.
    pub application: Application,
    /// Its routing version.
    pub version: u64,
    /// The epoch of all shards.
    pub epoch: Epoch,
    /// The time, which nothing but the case moves.
    pub now: Timestamp,
    ids: IdSequence,
}

impl<'s> World<'s> {
    /// Makes an application without endpoints, and takes the shards.
    pub async fn new(store: &'s dyn Store) -> Self {
        let mut ids = IdSequence::default();
        let id = OrganizationId::from_bits(ids.next(NOW, 0));
        let organization = store.ensure_organization(id, NOW).await.unwrap();
        let new = NewApplication {
            organization,
            id: ApplicationId::from_bits(ids.next(NOW, 1)),
            uid: None,
            name: "first".into(),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            applications_max: u64::MAX,
            now: NOW,
            idempotency: None,
        };
        let application = store.create_application(new).await.unwrap().into_inner();
        let epoch = store.take_shards(NOW).await.unwrap()[0].1;
        let mut world = Self {
            store,
            organization,
            application,
            version: 0,
            epoch,
            now: NOW,
            ids,
        };
        world.reload().await;
        world
    }

    /// Returns 128 bits that no id has yet.
    pub fn bits(&mut self) -> u128 {
        self.ids.next(self.now, 0x1234_5678_9abc)
    }

    /// Reads the routing version.
    pub async fn reload(&mut self) {
        let named = ApplicationRef::Id(self.application.id);
        let routes = self.store.routes(self.organization, &named).await.unwrap();
        self.version = routes.unwrap().version;
    }

    /// Another application of the organization.
    pub fn new_application(&mut self, uid: Option<&str>) -> NewApplication {
        NewApplication {
            organization: self.organization,
            id: ApplicationId::from_bits(self.bits()),
            uid: uid.map(|text| Uid::parse(text).unwrap()),
            name: "another".into(),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            applications_max: u64::MAX,
            now: self.now,
            idempotency: None,
        }
    }

    /// An endpoint to create in the application.
    pub fn new_endpoint(&mut self) -> NewEndpoint {
        NewEndpoint {
            application: self.application.key,
            id: EndpointId::from_bits(self.bits()),
            uid: None,
            url: TargetUrl::parse("https://example.com/hook").unwrap(),
            description: String::new(),
            disabled: None,
            subscription: Subscription::default(),
            throttle_rate: None,
            tuning: domain::Tuning::default(),
            metadata: BTreeMap::new(),
            headers: None,
            secret: Sealed(vec![1, 2, 3]),
            endpoints_max: 10_000,
            now: self.now,
            idempotency: None,
        }
    }

    /// A source to create in the application, whose texts all hold the name.
    pub fn new_source(&mut self, name: &str) -> NewSource {
        let id = SourceId::from_bits(self.bits());
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(&id.bits().to_be_bytes());
        NewSource {
            application: self.application.key,
            id,
            uid: None,
            name: format!("{name} source"),
            provider: "github".into(),
            settings: format!("{{\"metadata\": {{\"name\": \"{name}\"}}}}"),
            awaits_handshake: None,
            token: SourceToken {
                hash,
                sealed: Sealed(format!("{name} token").into_bytes()),
            },
            secrets: vec![Sealed(format!("{name} secret").into_bytes())],
            sources_max: 100,
            now: self.now,
            idempotency: None,
        }
    }

    /// A request to store that a source refused, whose texts all hold the name.
    pub fn new_request(&mut self, source: &Source, name: &str) -> NewInbound {
        NewInbound {
            id: InboundId::from_bits(self.bits()),
            source: source.key,
            application: source.application,
            verdict: InboundVerdict::Rejected,
            reason: Some(format!("{name}_reason")),
            diagnosis: Some(format!("{name} is wrong")),
            marks: InboundMarks::default(),
            method: "POST".into(),
            path: format!("/in/***?{name}"),
            peer: "192.0.2.1".into(),
            headers: Bytes::from(format!("x-name: {name}\n")),
            credentials: Some(Sealed(format!("{name} credentials").into_bytes())),
            body: Bytes::from(format!("{name} body")),
            body_len: 100,
            provider_id: Some(format!("{name}-1")),
        }
    }

    /// Creates an endpoint.
    pub async fn endpoint(&mut self) -> Endpoint {
        let new = self.new_endpoint();
        let made = self.store.create_endpoint(new).await.unwrap().into_inner();
        self.reload().await;
        made
    }

    /// Changes an endpoint.
    pub async fn change(&mut self, endpoint: &Endpoint, change: EndpointChange) -> Endpoint {
        let named = EndpointRef::Id(endpoint.id);
        let change = EndpointChange {
            now: self.now,
            ..change
        };
        let changed = self
            .store
            .update_endpoint(self.application.key, &named, change)
            .await
            .unwrap();
        self.reload().await;
        changed
    }

    /// Disables an endpoint.
    pub async fn disable(&mut self, endpoint: &Endpoint) -> Endpoint {
        let change = EndpointChange {
            disabled: Some(Some(DisabledReason::Requested)),
            ..EndpointChange::default()
        };
        self.change(endpoint, change).await
    }

    /// Enables an endpoint.
    pub async fn enable(&mut self, endpoint: &Endpoint) -> Endpoint {
        let change = EndpointChange {
            disabled: Some(None),
            ..EndpointChange::default()
        };
        self.change(endpoint, change).await
    }

    /// Deletes an endpoint.
    pub async fn delete(&mut self, endpoint: &Endpoint) -> Endpoint {
        let named = EndpointRef::Id(endpoint.id);
        let deleted = self
            .store
            .delete_endpoint(self.application.key, &named, self.now)
            .await
            .unwrap();
        self.reload().await;
        deleted
    }

    /// A message to these endpoints, due now, kept for 30 days.
    pub fn message(&mut self, to: &[&Endpoint]) -> NewMessage {
        NewMessage {
            id: MessageId::from_bits(self.bits()),
            event_type: EventType::parse("content.published").unwrap(),
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            at: self.now,
            deliver_at: None,
            ordering_key: None,
            expires: self.now.plus(Duration::from_hours(30 * 24)),
            payload: Payload {
                bytes: Bytes::from_static(br#"{"page": 1}"#),
                content_type: None,
            },
            destinations: to.iter().map(|endpoint| endpoint.key).collect(),
            due: self.now,
        }
    }

    /// [`Self::message`] with an event id.
    pub fn event(&mut self, event_id: &str) -> NewMessage {
        NewMessage {
            event_id: Some(EventId::parse(event_id).unwrap()),
            ..self.message(&[])
        }
    }

    /// A publish of messages.
    pub fn publish(&self, messages: Vec<NewMessage>) -> Publish {
        Publish {
            application: self.application.key,
            routing_version: self.version,
            messages,
            on_event_id: OnEventId::Refuse,
            idempotency: None,
            reception: None,
            now: self.now,
        }
    }

    /// Appends one publish.
    pub async fn append(&self, publish: Publish) -> PublishOutcome {
        let appended = self.store.append(vec![publish]).await.unwrap();
        assert_eq!(appended.outcomes.len(), 1);
        appended.outcomes.into_iter().next().unwrap()
    }

    /// Stores a message, which must succeed.
    pub async fn put(&self, message: NewMessage) -> MessageId {
        let id = message.id;
        let outcome = self.append(self.publish(vec![message])).await;
        assert!(matches!(outcome, PublishOutcome::Stored(_)), "{outcome:?}");
        id
    }

    /// Stores a plain message to these endpoints.
    pub async fn send(&mut self, to: &[&Endpoint]) -> MessageId {
        let message = self.message(to);
        self.put(message).await
    }

    /// Stores a message to so many endpoints, none of which needs to exist.
    pub async fn send_wide(&mut self, to: impl IntoIterator<Item = EndpointKey>) -> MessageId {
        let message = NewMessage {
            destinations: to.into_iter().collect(),
            ..self.message(&[])
        };
        self.put(message).await
    }

    /// A scheduled attempt that ended so, as it would be recorded.
    pub fn attempt(
        &self,
        message: MessageId,
        endpoint: &Endpoint,
        number: AttemptNumber,
        then: AfterAttempt,
    ) -> AttemptRecord {
        let success = then == AfterAttempt::Success;
        AttemptRecord {
            message: message.key(),
            endpoint: endpoint.key,
            shard: ShardId::of(endpoint.id),
            epoch: self.epoch,
            number,
            trigger: Trigger::Scheduled,
            at: self.now,
            duration: Duration::from_micros(1_500),
            phases: Phases::default(),
            url: endpoint.url_key,
            status: if success {
                AttemptStatus::Success
            } else {
                AttemptStatus::Fail
            },
            http_status: Some(if success { 200 } else { 500 }),
            error: None,
            error_detail: None,
            response: Bytes::from_static(b"seen"),
            then,
            release: None,
        }
    }

    /// Records one scheduled attempt.
    pub async fn tried(
        &self,
        message: MessageId,
        endpoint: &Endpoint,
        number: AttemptNumber,
        then: AfterAttempt,
    ) {
        self.record(self.attempt(message, endpoint, number, then))
            .await;
    }

    /// Records one manual attempt.
    pub async fn tried_by_hand(
        &self,
        message: MessageId,
        endpoint: &Endpoint,
        number: AttemptNumber,
        then: AfterAttempt,
    ) {
        self.record(AttemptRecord {
            trigger: Trigger::Manual,
            ..self.attempt(message, endpoint, number, then)
        })
        .await;
    }

    /// Records an attempt, which must be accepted.
    pub async fn record(&self, record: AttemptRecord) {
        let answers = self.store.record(vec![record]).await.unwrap();
        assert_eq!(answers, [Recorded::Stored]);
    }

    /// A claim of what is due now, with room for all of it.
    pub fn all_due(&self, endpoint: &Endpoint) -> Claim {
        Claim {
            destination: endpoint.key,
            shard: ShardId::of(endpoint.id),
            epoch: self.epoch,
            now: self.now,
            after: None,
            room: 1_000,
            bytes: 1 << 20,
        }
    }

    /// Claims what is due now.
    pub async fn claim(&self, endpoint: &Endpoint) -> Claimed {
        self.store.claim(self.all_due(endpoint)).await.unwrap()
    }

    /// Claims what is due now and returns the messages.
    pub async fn due(&self, endpoint: &Endpoint) -> Vec<MessageId> {
        let claimed = self.claim(endpoint).await;
        claimed.deliveries.into_iter().map(|d| d.message).collect()
    }

    /// All destinations of a message.
    pub async fn destinations(&self, message: MessageId) -> Vec<MessageDestination> {
        let page = ascending(250, None);
        let found = self.store.message_destinations(message, page).await;
        found.unwrap().items
    }

    /// The only destination of a message.
    pub async fn destination(&self, message: MessageId) -> MessageDestination {
        let found = self.destinations(message).await;
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    }

    /// Asks for one manual attempt, due now.
    pub async fn resend(&self, message: MessageId, endpoint: &Endpoint) -> Resent {
        let resend = self.to_resend(message, endpoint);
        self.store.resend(resend).await.unwrap()
    }

    /// A request for one manual attempt, due now.
    pub fn to_resend(&self, message: MessageId, endpoint: &Endpoint) -> Resend {
        Resend {
            message,
            endpoint: endpoint.key,
            due: self.now,
            idempotency: None,
            now: self.now,
        }
    }

    /// Reads a message by id.
    pub async fn read(&self, message: MessageId) -> Option<MessageRow> {
        let named = MessageRef::Id(message);
        let found = self.store.message(self.application.key, &named).await;
        found.unwrap()
    }

    /// Lets time pass.
    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    /// Now and so many seconds.
    pub fn after(&self, seconds: u64) -> Timestamp {
        self.now.plus(Duration::from_secs(seconds))
    }
}

/// An idempotency key of a caller.
pub(super) fn key(key: u8, fingerprint: u8) -> Idempotency {
    Idempotency {
        kind: IdempotencyKind::Chosen,
        key: [key; 16],
        fingerprint: [fingerprint; 16],
    }
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

/// A page of a list from small to large.
pub fn ascending<C>(limit: u16, cursor: Option<Cursor<C>>) -> PageRequest<C> {
    PageRequest {
        limit,
        order: Order::Ascending,
        cursor,
    }
}

/// A page of a list from large to small.
pub fn descending<C>(limit: u16, cursor: Option<Cursor<C>>) -> PageRequest<C> {
    PageRequest {
        limit,
        order: Order::Descending,
        cursor,
    }
}

/// One page that holds everything a case makes.
pub fn everything<C>() -> PageRequest<C> {
    ascending(1_000, None)
}

//! Random operations: SQLite and the plain maps must answer alike.
//!
//! Every answer of an operation is compared, and now and then everything that can be read.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, their helpers included"
)]

use std::time::Duration;

use bytes::Bytes;
use domain::{
    AttemptStatus, DisabledReason, EndpointId, EventId, FailReason, IdSequence, MessageId, Phases,
    ShardId, Subscription, Tag, TargetUrl, Timestamp, Trigger,
};
use posthaste_store_sqlite::{Options, SqliteStore};
use proptest::prelude::*;
use store::conformance::{NOW, World, ascending, descending};
use store::model::Model;
use store::{
    AfterAttempt, ApplicationRef, AttemptFilter, AttemptRecord, Claim, DisableFailing, Endpoint,
    EndpointChange, EndpointRef, Expand, FAN_OUT_INLINE, GiveUp, Idempotency, IdempotencyKind,
    MessageFilter, MessageRef, NewEndpoint, NewMessage, OnEventId, Payload, Prune, Publish, Resend,
    Rotation, Sealed, Source, Store,
};

/// Asks both stores the same and returns the answer, which must be one.
macro_rules! both {
    ($pair:expr, $store:ident => $question:expr) => {{
        let $store = &$pair.stores[0];
        let expected = $question.await;
        let $store = &$pair.stores[1];
        let found = $question.await;
        assert_eq!(expected, found, "model and SQLite differ");
        found
    }};
}

#[path = "model/inbound.rs"]
mod inbound;

use inbound::Inbound;

const ENDPOINTS: usize = 3;

#[derive(Clone, Debug)]
enum Operation {
    Publish {
        count: u8,
        to: u8,
        event_id: Option<u8>,
        answer_first: bool,
        idempotency: Option<(u8, u8)>,
        delay: u8,
        short_lived: bool,
        ordering_key: Option<u8>,
    },
    PublishWide {
        to: u8,
        ordering_key: Option<u8>,
    },
    Expand {
        message: prop::sample::Index,
        room: u16,
    },
    Record {
        message: prop::sample::Index,
        endpoint: u8,
        number: u16,
        manual: bool,
        then: u8,
    },
    /// Makes the next attempt of what a claim returns first, as a lane would.
    Deliver {
        endpoint: u8,
        then: u8,
    },
    Resend {
        message: prop::sample::Index,
        endpoint: u8,
        idempotency: Option<(u8, u8)>,
    },
    GiveUp {
        endpoint: u8,
        rows: u16,
    },
    Change {
        endpoint: u8,
        disabled: Option<bool>,
        paused: Option<bool>,
        url: Option<u8>,
    },
    Rotate {
        endpoint: u8,
        lives: u8,
    },
    Replace {
        endpoint: u8,
    },
    TakeShards,
    DisableFailing {
        hours: u8,
    },
    ForgetAnnouncements {
        count: u8,
    },
    Wait {
        minutes: u16,
    },
    Prune {
        rows: u16,
    },
    Inbound(Inbound),
}

fn operation() -> impl Strategy<Value = Operation> {
    let endpoint = 0u8..3;
    let ordering_key = || proptest::option::weighted(0.6, 0u8..2);
    let idempotency = || proptest::option::weighted(0.3, (0u8..3, 0u8..2));
    prop_oneof![
        6 => (1u8..4, 0u8..8, proptest::option::weighted(0.3, 0u8..3), any::<bool>(),
              idempotency(), 0u8..10, any::<bool>(), ordering_key())
            .prop_map(|(count, to, event_id, answer_first, idempotency, delay, short_lived, key)| {
                Operation::Publish {
                    count, to, event_id, answer_first, idempotency, delay, short_lived,
                    ordering_key: key,
                }
            }),
        1 => (0u8..8, ordering_key())
            .prop_map(|(to, ordering_key)| Operation::PublishWide { to, ordering_key }),
        2 => (any::<prop::sample::Index>(), 0u16..400)
            .prop_map(|(message, room)| Operation::Expand { message, room }),
        3 => (any::<prop::sample::Index>(), endpoint.clone(), 1u16..5, any::<bool>(), 0u8..5)
            .prop_map(|(message, endpoint, number, manual, then)| {
                Operation::Record { message, endpoint, number, manual, then }
            }),
        8 => (endpoint.clone(), 0u8..5)
            .prop_map(|(endpoint, then)| Operation::Deliver { endpoint, then }),
        4 => (any::<prop::sample::Index>(), endpoint.clone(), idempotency())
            .prop_map(|(message, endpoint, idempotency)| {
                Operation::Resend { message, endpoint, idempotency }
            }),
        1 => (endpoint.clone(), 0u16..4)
            .prop_map(|(endpoint, rows)| Operation::GiveUp { endpoint, rows }),
        3 => (endpoint.clone(), any::<Option<bool>>(), any::<Option<bool>>(),
              proptest::option::of(0u8..3))
            .prop_map(|(endpoint, disabled, paused, url)| {
                Operation::Change { endpoint, disabled, paused, url }
            }),
        1 => (endpoint.clone(), 0u8..90)
            .prop_map(|(endpoint, lives)| Operation::Rotate { endpoint, lives }),
        1 => endpoint.prop_map(|endpoint| Operation::Replace { endpoint }),
        1 => Just(Operation::TakeShards),
        1 => (0u8..20).prop_map(|hours| Operation::DisableFailing { hours }),
        1 => (0u8..5).prop_map(|count| Operation::ForgetAnnouncements { count }),
        3 => (0u16..400).prop_map(|minutes| Operation::Wait { minutes }),
        2 => (1u16..20).prop_map(|rows| Operation::Prune { rows }),
        8 => inbound::operation().prop_map(Operation::Inbound),
    ]
}

fn key(number: Option<u8>) -> Option<domain::OrderingKey> {
    let text = format!("key {}", number?);
    Some(domain::OrderingKey::parse(&text).unwrap())
}

/// Both stores, and what the operations refer to.
struct Pair {
    stores: [Box<dyn Store>; 2],
    ids: IdSequence,
    now: Timestamp,
    application: store::Application,
    organization: domain::OrganizationKey,
    endpoints: Vec<Endpoint>,
    messages: Vec<MessageId>,
    source: Source,
    epoch: domain::Epoch,
}

impl Pair {
    async fn new() -> Self {
        let sqlite = SqliteStore::open(Options::memory()).unwrap();
        let stores: [Box<dyn Store>; 2] = [Box::new(Model::new()), Box::new(sqlite)];
        for store in &stores {
            store.announce(true);
        }
        let mut world = World::new(&*stores[0]).await;
        let (application, organization) = (world.application.clone(), world.organization);
        let epoch = world.epoch;
        let source = world.new_source("first");
        World::new(&*stores[1]).await;
        let mut sources = Vec::new();
        for store in &stores {
            let made = store.create_source(source.clone()).await.unwrap();
            sources.push(made.into_inner());
        }
        let source = sources.pop().unwrap();
        assert_eq!(sources.pop().as_ref(), Some(&source));
        let mut ids = IdSequence::default();
        // The world has drawn a few ids at the same time already.
        let now = NOW.plus(Duration::from_secs(1));
        ids.next(now, 0);
        let mut pair = Self {
            stores,
            ids,
            now,
            application,
            organization,
            endpoints: Vec::new(),
            messages: Vec::new(),
            source,
            epoch,
        };
        for _ in 0..ENDPOINTS {
            let endpoint = pair.create().await;
            pair.endpoints.push(endpoint);
        }
        pair
    }

    fn bits(&mut self) -> u128 {
        self.ids.next(self.now, 0x0bad_cafe)
    }

    async fn create(&mut self) -> Endpoint {
        let new = NewEndpoint {
            application: self.application.key,
            id: EndpointId::from_bits(self.bits()),
            uid: None,
            url: TargetUrl::parse("https://example.com/0").unwrap(),
            description: String::new(),
            disabled: None,
            subscription: Subscription::default(),
            throttle_rate: None,
            tuning: domain::Tuning::default(),
            metadata: std::collections::BTreeMap::new(),
            headers: None,
            secret: Sealed(vec![1]),
            endpoints_max: 100,
            now: self.now,
            idempotency: None,
        };
        let made = both!(self, store => store.create_endpoint(new.clone()));
        made.unwrap().into_inner()
    }

    fn idempotency(key: Option<(u8, u8)>) -> Option<Idempotency> {
        key.map(|(key, fingerprint)| Idempotency {
            kind: IdempotencyKind::Automatic,
            key: [key; 16],
            fingerprint: [fingerprint; 16],
        })
    }

    fn then(&self, code: u8) -> AfterAttempt {
        match code {
            0 => AfterAttempt::Success,
            1 => AfterAttempt::RetryAt(self.now.plus(Duration::from_mins(5))),
            2 => AfterAttempt::Fail(FailReason::Exhausted),
            3 => AfterAttempt::AsBefore,
            _ => AfterAttempt::RetryAt(self.now),
        }
    }

    fn message(&mut self, to: u8) -> NewMessage {
        let endpoints = self.endpoints.iter().enumerate();
        let destinations = endpoints
            .filter(|(index, _)| to & (1 << index) != 0)
            .map(|(_, endpoint)| endpoint.key)
            .collect();
        NewMessage {
            id: MessageId::from_bits(self.bits()),
            event_type: domain::EventType::parse("a.b").unwrap(),
            event_id: None,
            channels: Vec::new(),
            tags: vec![Tag::parse(if to.is_multiple_of(2) { "even" } else { "odd" }).unwrap()],
            at: self.now,
            deliver_at: None,
            ordering_key: None,
            expires: self.now.plus(Duration::from_hours(24)),
            payload: Payload {
                bytes: Bytes::from(vec![to; usize::from(to)]),
                content_type: None,
            },
            destinations,
            due: self.now,
        }
    }

    async fn publish(&mut self, publish: Publish) {
        self.messages
            .extend(publish.messages.iter().map(|message| message.id));
        let appended = both!(self, store => store.append(vec![publish.clone()]));
        appended.unwrap();
    }

    async fn new_publish(&mut self, messages: Vec<NewMessage>) -> Publish {
        let named = ApplicationRef::Id(self.application.id);
        let routes = both!(self, store => store.routes(self.organization, &named));
        Publish {
            application: self.application.key,
            routing_version: routes.unwrap().unwrap().version,
            messages,
            on_event_id: OnEventId::Refuse,
            idempotency: None,
            reception: None,
            now: self.now,
        }
    }

    fn attempt(&self, message: MessageId, endpoint: usize, number: u16, then: u8) -> AttemptRecord {
        let endpoint = &self.endpoints[endpoint];
        let then = self.then(then);
        let success = then == AfterAttempt::Success;
        AttemptRecord {
            message: message.key(),
            endpoint: endpoint.key,
            shard: ShardId::of(endpoint.id),
            epoch: self.epoch,
            number,
            trigger: Trigger::Scheduled,
            at: self.now.plus(Duration::from_micros(number.into())),
            duration: Duration::from_micros(77),
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
            response: Bytes::new(),
            then,
            release: Some(self.now),
        }
    }

    fn claim(&self, endpoint: usize) -> Claim {
        Claim {
            destination: self.endpoints[endpoint].key,
            shard: ShardId::of(self.endpoints[endpoint].id),
            epoch: self.epoch,
            now: self.now,
            after: None,
            room: 5,
            bytes: 12,
        }
    }

    fn pick(&self, index: prop::sample::Index) -> Option<MessageId> {
        (!self.messages.is_empty()).then(|| *index.get(&self.messages))
    }

    async fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Publish { .. } | Operation::PublishWide { .. } => {
                self.run_publish(operation).await;
            }
            Operation::Expand { message, room } => {
                let Some(message) = self.pick(message) else {
                    return;
                };
                let expand = Expand { message, room };
                both!(self, store => store.expand(expand)).unwrap();
            }
            Operation::TakeShards => {
                let taken = both!(self, store => store.take_shards(self.now));
                self.epoch = taken.unwrap()[0].1;
            }
            Operation::DisableFailing { hours } => {
                let request = DisableFailing {
                    since: self.now.minus(Duration::from_hours(hours.into())),
                    now: self.now,
                    rows: 2,
                };
                both!(self, store => store.disable_failing(request)).unwrap();
            }
            Operation::ForgetAnnouncements { count } => {
                let told = both!(self, store => store.announcements(1_000)).unwrap();
                if let Some(last) = told.get(usize::from(count)) {
                    both!(self, store => store.forget_announcements(last.number)).unwrap();
                }
            }
            Operation::Wait { minutes } => {
                self.now = self.now.plus(Duration::from_secs(u64::from(minutes) * 60));
            }
            Operation::Prune { rows } => self.prune(rows).await,
            Operation::Inbound(inbound) => self.run_inbound(inbound).await,
            Operation::Change { .. } | Operation::Rotate { .. } | Operation::Replace { .. } => {
                self.run_endpoint(operation).await;
            }
            other => self.run_delivery(other).await,
        }
    }

    async fn run_publish(&mut self, operation: Operation) {
        match operation {
            Operation::Publish {
                count,
                to,
                event_id,
                answer_first,
                idempotency,
                delay,
                short_lived,
                ordering_key,
            } => {
                let mut messages = Vec::new();
                for index in 0..count {
                    let mut message = self.message(to);
                    message.ordering_key = key(ordering_key);
                    message.due = self.now.plus(Duration::from_secs(u64::from(delay) * 60));
                    if let Some(event_id) = event_id {
                        // Two of three share one, so that a batch meets itself too.
                        let text = format!("e{event_id}-{}", index / 2);
                        message.event_id = Some(EventId::parse(&text).unwrap());
                    }
                    if short_lived {
                        message.expires = self.now.plus(Duration::from_mins(30));
                    }
                    messages.push(message);
                }
                let mut publish = self.new_publish(messages).await;
                publish.idempotency = Self::idempotency(idempotency);
                if answer_first {
                    publish.on_event_id = OnEventId::AnswerFirst;
                }
                self.publish(publish).await;
            }
            Operation::PublishWide { to, ordering_key } => {
                let mut message = self.message(to);
                message.ordering_key = key(ordering_key);
                let others = (10_000..).map(domain::EndpointKey).take(FAN_OUT_INLINE);
                message.destinations.extend(others);
                let publish = self.new_publish(vec![message]).await;
                self.publish(publish).await;
            }
            _ => unreachable!("not a publish"),
        }
    }

    async fn run_delivery(&mut self, operation: Operation) {
        match operation {
            Operation::Record {
                message,
                endpoint,
                number,
                manual,
                then,
            } => {
                let Some(message) = self.pick(message) else {
                    return;
                };
                let mut record = self.attempt(message, endpoint.into(), number, then);
                if manual {
                    record.trigger = Trigger::Manual;
                }
                both!(self, store => store.record(vec![record.clone()])).unwrap();
            }
            Operation::Deliver { endpoint, then } => {
                let claim = self.claim(endpoint.into());
                let claimed = self.claimed(claim).await;
                let Some(due) = claimed.deliveries.first() else {
                    return;
                };
                let number = due.attempts + 1;
                let then = if due.trigger == Trigger::Manual && then != 0 {
                    3
                } else {
                    then
                };
                let mut record = self.attempt(due.message, endpoint.into(), number, then);
                record.trigger = due.trigger;
                both!(self, store => store.record(vec![record.clone()])).unwrap();
            }
            Operation::Resend {
                message,
                endpoint,
                idempotency,
            } => {
                let Some(message) = self.pick(message) else {
                    return;
                };
                let resend = Resend {
                    message,
                    endpoint: self.endpoints[usize::from(endpoint)].key,
                    due: self.now,
                    // A fingerprint covers the path: a publish never has that of a resend.
                    idempotency: Self::idempotency(idempotency.map(|(k, f)| (k, f + 10))),
                    now: self.now,
                };
                let _ = both!(self, store => store.resend(resend.clone()));
            }
            Operation::GiveUp { endpoint, rows } => {
                let endpoint = &self.endpoints[usize::from(endpoint)];
                let give_up = GiveUp {
                    now: self.now,
                    destination: endpoint.key,
                    shard: ShardId::of(endpoint.id),
                    epoch: self.epoch,
                    first_due_before: self.now.minus(Duration::from_hours(1)),
                    reason: FailReason::EndpointUnavailable,
                    rows,
                };
                both!(self, store => store.give_up(give_up)).unwrap();
            }
            _ => unreachable!("not about a delivery"),
        }
    }

    async fn run_endpoint(&mut self, operation: Operation) {
        let application = self.application.key;
        match operation {
            Operation::Change {
                endpoint,
                disabled,
                paused,
                url,
            } => {
                let index = usize::from(endpoint);
                let named = EndpointRef::Id(self.endpoints[index].id);
                let change = EndpointChange {
                    disabled: disabled.map(|yes| yes.then_some(DisabledReason::Requested)),
                    paused,
                    url: url
                        .map(|n| TargetUrl::parse(&format!("https://example.com/{n}")).unwrap()),
                    now: self.now,
                    ..EndpointChange::default()
                };
                let changed = both!(self, store => {
                    store.update_endpoint(application, &named, change.clone())
                });
                self.endpoints[index] = changed.unwrap();
            }
            Operation::Rotate { endpoint, lives } => {
                let named = EndpointRef::Id(self.endpoints[usize::from(endpoint)].id);
                let rotation = Rotation {
                    idempotency: None,
                    secret: Sealed(vec![lives]),
                    old_expires: self.now.plus(Duration::from_secs(u64::from(lives) * 60)),
                    secrets_max: 3,
                    now: self.now,
                };
                let _ = both!(self, store => {
                    store.rotate_secret(application, &named, rotation.clone())
                });
            }
            Operation::Replace { endpoint } => {
                let index = usize::from(endpoint);
                let named = EndpointRef::Id(self.endpoints[index].id);
                both!(self, store => store.delete_endpoint(application, &named, self.now)).unwrap();
                self.endpoints[index] = self.create().await;
            }
            _ => unreachable!("not about an endpoint"),
        }
    }

    /// `as_of` and the counts of commits are a store's own, the rest must be equal.
    async fn claimed(&self, claim: Claim) -> store::Claimed {
        let mut answers = Vec::new();
        for store in &self.stores {
            let mut claimed = store.claim(claim).await.unwrap();
            claimed.as_of = 0;
            answers.push(claimed);
        }
        let found = answers.pop().unwrap();
        assert_eq!(answers[0], found, "claims differ");
        found
    }

    /// How much a call does is a store's own; what is left in the end must be equal.
    async fn prune(&self, rows: u16) {
        for store in &self.stores {
            for round in 0.. {
                assert!(round < 10_000, "there was always more to prune");
                let prune = Prune {
                    now: self.now,
                    history: Duration::from_hours(4 * 24),
                    statistics: Duration::from_hours(4 * 24),
                    rows,
                };
                if !store.prune(prune).await.unwrap().more {
                    break;
                }
            }
        }
        self.level().await;
    }

    /// Lets the one with fewer commits catch up, so that answers with commit numbers compare.
    async fn level(&self) {
        let [model, sqlite] = &self.stores;
        while model.commit_number() < sqlite.commit_number() {
            model.check_writable(self.now).await.unwrap();
        }
        while sqlite.commit_number() < model.commit_number() {
            sqlite.check_writable(self.now).await.unwrap();
        }
    }

    async fn compare(&self) {
        self.compare_inbound().await;
        let application = self.application.key;
        let named = ApplicationRef::Id(self.application.id);
        both!(self, store => store.routes(self.organization, &named)).unwrap();
        let keys: Vec<_> = (1..20).map(domain::EndpointKey).collect();
        both!(self, store => store.endpoints_by_key(&keys)).unwrap();
        both!(self, store => store.destinations_due(None, 10)).unwrap();
        both!(self, store => store.unfinished_fan_outs(10)).unwrap();
        let odd = MessageFilter {
            tag: Some(Tag::parse("odd").unwrap()),
            after: Some(self.now.minus(Duration::from_hours(2))),
            before: Some(self.now),
            ..MessageFilter::default()
        };
        let all = MessageFilter {
            with_content: true,
            ..MessageFilter::default()
        };
        both!(self, store => store.messages(application, &odd, ascending(3, None))).unwrap();
        both!(self, store => store.messages(application, &all, descending(250, None))).unwrap();
        for endpoint in 0..ENDPOINTS {
            self.claimed(self.claim(endpoint)).await;
        }
        let filter = AttemptFilter::default();
        for key in keys {
            both!(self, store => store.attempts_by_endpoint(key, &filter, descending(9, None)))
                .unwrap();
        }
        for message in self.messages.iter().copied() {
            both!(self, store => store.message_destinations(message, ascending(250, None)))
                .unwrap();
            both!(self, store => store.attempts_by_message(message, &filter, ascending(250, None)))
                .unwrap();
            let named = MessageRef::Id(message);
            both!(self, store => store.message(application, &named)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sqlite_answers_like_the_model(
        // Not after each one: looking gives deliveries rows that they would do without.
        operations in proptest::collection::vec((operation(), any::<bool>()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            for (operation, look) in operations {
                pair.run(operation).await;
                if look {
                    pair.compare().await;
                }
            }
            pair.compare().await;
        });
    }
}

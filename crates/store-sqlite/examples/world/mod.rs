//! An application with endpoints, and messages for them.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use domain::{
    ApplicationId, EndpointId, EventType, IdSequence, MessageId, OrganizationId, Subscription,
    TargetUrl, Timestamp,
};
use posthaste_store_sqlite::SqliteStore;
use store::{
    Endpoint, KeyStore as _, NewApplication, NewEndpoint, NewMessage, OnEventId, Payload, Publish,
    Sealed, Store as _,
};

pub(crate) struct World {
    pub(crate) ids: IdSequence,
    pub(crate) now: Timestamp,
    pub(crate) application: store::Application,
    pub(crate) version: u64,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) payload: Bytes,
    pub(crate) epoch: domain::Epoch,
}

impl World {
    /// An application with so many endpoints, which take everything.
    pub(crate) async fn new(store: &SqliteStore, count: usize) -> Result<Self, store::Error> {
        let now = Timestamp::from_unix_seconds(1_760_000_000);
        let mut ids = IdSequence::default();
        let organization = store
            .ensure_organization(OrganizationId::from_bits(ids.next(now, 0)), now)
            .await?;
        let application = store
            .create_application(NewApplication {
                organization,
                id: ApplicationId::from_bits(ids.next(now, 0)),
                uid: None,
                name: "bench".into(),
                throttle_rate: None,
                metadata: std::collections::BTreeMap::new(),
                applications_max: u64::MAX,
                now,
                idempotency: None,
            })
            .await?
            .into_inner();
        let mut endpoints = Vec::new();
        for _ in 0..count {
            let new = endpoint(&application, EndpointId::from_bits(ids.next(now, 7)), now);
            endpoints.push(store.create_endpoint(new).await?.into_inner());
        }
        let epoch = store.take_shards(now).await?[0].1;
        Ok(Self {
            ids,
            now,
            application,
            version: 1 + count as u64,
            endpoints,
            payload: Bytes::from(vec![b'x'; 1_024]),
            epoch,
        })
    }

    /// A message of 1 KiB for some of the endpoints.
    pub(crate) fn publish(&mut self, endpoints: Range<usize>) -> Publish {
        let random = u128::from(self.ids.next(self.now, 0).count_ones()) << 40 | 0xabcd_ef01;
        Publish {
            application: self.application.key,
            routing_version: self.version,
            messages: vec![NewMessage {
                id: MessageId::from_bits(self.ids.next(self.now, random)),
                event_type: EventType::parse("content.published").expect("valid"),
                event_id: None,
                channels: Vec::new(),
                tags: Vec::new(),
                at: self.now,
                deliver_at: None,
                ordering_key: None,
                expires: self.now.plus(Duration::from_hours(90 * 24)),
                payload: Payload {
                    bytes: self.payload.clone(),
                    content_type: None,
                },
                destinations: self.endpoints[endpoints].iter().map(|e| e.key).collect(),
                due: self.now,
            }],
            on_event_id: OnEventId::Refuse,
            idempotency: None,
            reception: None,
            now: self.now,
        }
    }
}

fn endpoint(application: &store::Application, id: EndpointId, now: Timestamp) -> NewEndpoint {
    NewEndpoint {
        application: application.key,
        id,
        uid: None,
        url: TargetUrl::parse("https://example.com/hook").expect("valid"),
        description: String::new(),
        disabled: None,
        subscription: Subscription::default(),
        throttle_rate: None,
        tuning: domain::Tuning::default(),
        metadata: std::collections::BTreeMap::new(),
        headers: None,
        secret: Sealed(vec![1; 60]),
        endpoints_max: 10_000,
        now,
        idempotency: None,
    }
}

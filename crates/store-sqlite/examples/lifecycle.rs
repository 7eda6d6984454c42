//! Measures what a message costs the store from append to record, in batches of 256 x 1 KiB.
//!
//! Outcomes in batches of fewer than 128 wait for company, so their wall time says little.
//!
//! `cargo run --release -p posthaste-store-sqlite --example lifecycle -- \
//!     [messages in all] [endpoints of each] [messages of a batch]`
#![expect(
    clippy::print_stdout,
    reason = "printing the figures is what it is for"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{
    ApplicationId, AttemptStatus, EndpointId, EventType, IdSequence, MessageId, OrganizationId,
    Phases, ShardId, Subscription, TargetUrl, Timestamp, Trigger,
};
use posthaste_store_sqlite::{Options, SqliteStore};
use store::{
    AfterAttempt, AttemptRecord, Endpoint, KeyStore as _, NewApplication, NewEndpoint, NewMessage,
    OnEventId, Payload, Publish, Sealed, Store,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut argument = |default| arguments.next().unwrap_or(Ok(default));
    let (messages, endpoints, batch) = (argument(102_400)?, argument(1)?, argument(256)?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(Options::file(file, Arc::new(|cause| panic!("{cause}"))))?;
    let mut world = World::new(&store, endpoints).await?;
    let mut spent = Spent::default();
    for _ in 0..messages / batch {
        world.round(&store, batch, &mut spent).await?;
    }
    spent.print(messages / batch * batch, endpoints);
    println!("{:?}", store.stats().await?);
    Ok(())
}

#[derive(Default)]
struct Spent {
    append: Duration,
    record: Duration,
    cpu: Duration,
}

impl Spent {
    fn print(&self, messages: usize, endpoints: usize) {
        let messages = u32::try_from(messages).expect("fits");
        let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / f64::from(messages);
        println!(
            "{messages} messages x {endpoints} endpoints: append {:.2} us, record {:.2} us, \
             together {:.2} us per message (wall); {:.2} us of CPU",
            micros(self.append),
            micros(self.record),
            micros(self.append + self.record),
            micros(self.cpu),
        );
    }
}

struct World {
    ids: IdSequence,
    now: Timestamp,
    application: store::Application,
    version: u64,
    endpoints: Vec<Endpoint>,
    payload: Bytes,
    epoch: domain::Epoch,
}

impl World {
    async fn new(store: &SqliteStore, count: usize) -> Result<Self, store::Error> {
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

    async fn round(
        &mut self,
        store: &SqliteStore,
        size: usize,
        spent: &mut Spent,
    ) -> Result<(), store::Error> {
        self.now = self.now.plus(Duration::from_millis(5));
        let batch: Vec<Publish> = (0..size).map(|_| self.publish()).collect();
        let records = self.records(&batch);
        let (start, cpu) = (tokio::time::Instant::now(), cpu());
        let appended = store.append(batch).await?;
        let between = tokio::time::Instant::now();
        assert_eq!(appended.outcomes.len(), size);
        store.record(records).await?;
        spent.append += between - start;
        spent.record += between.elapsed();
        spent.cpu += self::cpu().saturating_sub(cpu);
        Ok(())
    }

    fn publish(&mut self) -> Publish {
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
                destinations: self.endpoints.iter().map(|e| e.key).collect(),
                due: self.now,
            }],
            on_event_id: OnEventId::Refuse,
            idempotency: None,
            reception: None,
            now: self.now,
        }
    }

    fn records(&self, batch: &[Publish]) -> Vec<AttemptRecord> {
        let mut records = Vec::new();
        for message in batch.iter().flat_map(|publish| &publish.messages) {
            for endpoint in &self.endpoints {
                records.push(AttemptRecord {
                    message: message.id.key(),
                    endpoint: endpoint.key,
                    shard: ShardId::of(endpoint.id),
                    epoch: self.epoch,
                    number: 1,
                    trigger: Trigger::Scheduled,
                    at: self.now.plus(Duration::from_micros(700)),
                    duration: Duration::from_micros(830),
                    phases: Phases {
                        first_byte: Some(Duration::from_micros(700)),
                        body: Some(Duration::from_micros(60)),
                        ..Phases::default()
                    },
                    url: endpoint.url_key,
                    status: AttemptStatus::Success,
                    http_status: Some(200),
                    error: None,
                    error_detail: None,
                    response: Bytes::from_static(b"ok"),
                    then: AfterAttempt::Success,
                    release: None,
                });
            }
        }
        records
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

/// CPU time of the process, from the scheduler's own account in nanoseconds.
fn cpu() -> Duration {
    let mut total = Duration::ZERO;
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return total;
    };
    for task in tasks.flatten() {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let nanos = stat.split(' ').next().and_then(|text| text.parse().ok());
        total += Duration::from_nanos(nanos.unwrap_or(0));
    }
    total
}

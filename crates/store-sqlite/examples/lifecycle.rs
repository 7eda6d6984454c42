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
use domain::{AttemptStatus, Phases, ShardId, Trigger};
use posthaste_store_sqlite::{Options, SqliteStore};
use store::{AfterAttempt, AttemptRecord, Publish, Store as _};

mod world;
use world::World;

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
        round(&mut world, &store, batch, &mut spent).await?;
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

async fn round(
    world: &mut World,
    store: &SqliteStore,
    size: usize,
    spent: &mut Spent,
) -> Result<(), store::Error> {
    world.now = world.now.plus(Duration::from_millis(5));
    let all = 0..world.endpoints.len();
    let batch: Vec<Publish> = (0..size).map(|_| world.publish(all.clone())).collect();
    let records = records(world, &batch);
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

fn records(world: &World, batch: &[Publish]) -> Vec<AttemptRecord> {
    let mut records = Vec::new();
    for message in batch.iter().flat_map(|publish| &publish.messages) {
        for endpoint in &world.endpoints {
            records.push(AttemptRecord {
                message: message.id.key(),
                endpoint: endpoint.key,
                shard: ShardId::of(endpoint.id),
                epoch: world.epoch,
                number: 1,
                trigger: Trigger::Scheduled,
                at: world.now.plus(Duration::from_micros(700)),
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

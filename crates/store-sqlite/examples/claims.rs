//! Measures what a claim costs, and what finding all destinations that have something due costs,
//! while more and more is due: it must not depend on how much that is.
//!
//! `cargo run --release -p posthaste-store-sqlite --example claims -- \
//!     [messages due in the end] [claims of each kind] [endpoints ...]`
#![expect(
    clippy::print_stdout,
    reason = "printing the figures is what it is for"
)]

use std::sync::Arc;
use std::time::Duration;

use domain::{MessageKey, ShardId, Timestamp};
use posthaste_store_sqlite::{Options, SqliteStore};
use store::{Claim, Error, Store as _};
use tokio::time::Instant;

mod world;
use world::World;

/// What a lane that has just begun asks for, and the most that one ever does.
const ROOMS: [u16; 2] = [64, 512];
const SWEEP: u16 = 1_000;
const BATCH: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut argument = |default| arguments.next().unwrap_or(Ok(default));
    let (most, claims) = (argument(1_000_000)?, argument(1_000)?);
    let mut spreads: Vec<usize> = arguments.collect::<Result<_, _>>()?;
    if spreads.is_empty() {
        spreads = vec![1, 500];
    }
    println!("| due | endpoints | what | found | us p50 | p90 | p99 | max |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for endpoints in spreads {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("store.db");
        let store = SqliteStore::open(Options::file(file, Arc::new(|cause| panic!("{cause}"))))?;
        let mut backlog = Backlog::new(World::new(&store, endpoints).await?);
        let mut due = 1_000;
        while due <= most {
            backlog.grow(&store, due).await?;
            backlog.measure(&store, claims).await?;
            due *= 10;
        }
    }
    Ok(())
}

/// Messages of which each is for one of the endpoints, in turn.
struct Backlog {
    world: World,
    due: Vec<(Timestamp, MessageKey)>,
    random: u64,
}

impl Backlog {
    fn new(world: World) -> Self {
        Self {
            world,
            due: Vec::new(),
            random: 1,
        }
    }

    async fn grow(&mut self, store: &SqliteStore, size: usize) -> Result<(), Error> {
        while self.due.len() < size {
            self.world.now = self.world.now.plus(Duration::from_millis(1));
            let count = BATCH.min(size - self.due.len());
            let mut batch = Vec::with_capacity(count);
            for _ in 0..count {
                let endpoint = self.due.len() % self.world.endpoints.len();
                let publish = self.world.publish(endpoint..endpoint + 1);
                let message = &publish.messages[0];
                self.due.push((message.due, message.id.key()));
                batch.push(publish);
            }
            assert_eq!(store.append(batch).await?.outcomes.len(), count);
        }
        // The first read makes rows of what was expected to succeed at once.
        for endpoint in 0..self.world.endpoints.len() {
            store.claim(self.claim(endpoint, 1, None)).await?;
        }
        Ok(())
    }

    async fn measure(&mut self, store: &SqliteStore, claims: usize) -> Result<(), Error> {
        for room in ROOMS {
            let mut spent = Spent::default();
            for _ in 0..claims {
                let at = self.draw();
                let claim = self.claim(at % self.world.endpoints.len(), room, None);
                spent
                    .time(async { Ok(store.claim(claim).await?.deliveries.len()) })
                    .await?;
            }
            self.print(&format!("claim of {room}, from the start"), spent);
        }
        let mut spent = Spent::default();
        for _ in 0..claims {
            let at = self.draw();
            let after = Some(self.due[at]);
            let claim = self.claim(at % self.world.endpoints.len(), ROOMS[0], after);
            spent
                .time(async { Ok(store.claim(claim).await?.deliveries.len()) })
                .await?;
        }
        self.print("claim of 64, from anywhere", spent);
        let mut spent = Spent::default();
        for _ in 0..claims {
            let all = async { Ok(store.destinations_due(None, SWEEP).await?.len()) };
            spent.time(all).await?;
        }
        self.print("destinations that have something due", spent);
        Ok(())
    }

    fn claim(&self, endpoint: usize, room: u16, after: Option<(Timestamp, MessageKey)>) -> Claim {
        let endpoint = &self.world.endpoints[endpoint];
        Claim {
            destination: endpoint.key,
            shard: ShardId::of(endpoint.id),
            epoch: self.world.epoch,
            now: self.world.now,
            after,
            room,
            bytes: usize::MAX,
        }
    }

    /// Somewhere in the backlog, the same at each run.
    fn draw(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % self.due.len() as u64).expect("an index")
    }

    fn print(&self, what: &str, mut spent: Spent) {
        spent.0.sort_unstable();
        let at = |part: usize| spent.0[(spent.0.len() - 1) * part / 1_000].0.as_micros();
        let found = spent.0.iter().map(|(_, found)| *found).max();
        println!(
            "| {} | {} | {what} | {} | {} | {} | {} | {} |",
            self.due.len(),
            self.world.endpoints.len(),
            found.unwrap_or_default(),
            at(500),
            at(900),
            at(990),
            at(1_000),
        );
    }
}

/// How long each took and what it found.
#[derive(Default)]
struct Spent(Vec<(Duration, usize)>);

impl Spent {
    async fn time(
        &mut self,
        work: impl Future<Output = Result<usize, Error>>,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let found = work.await?;
        self.0.push((start.elapsed(), found));
        Ok(())
    }
}

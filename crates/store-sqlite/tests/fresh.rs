//! Deliveries without rows: a crash finds each one again that did not succeed, and no other.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, their helpers included"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{MessageId, Timestamp};
use posthaste_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;
use store::conformance::{NOW, World};
use store::{AfterAttempt, Claim, Endpoint, NewMessage, Store};

fn open(file: &Path) -> SqliteStore {
    SqliteStore::open(Options {
        durable: false,
        ..Options::file(file, Arc::new(|cause| panic!("{cause}")))
    })
    .unwrap()
}

/// The files as they are at this moment are what a killed process leaves.
fn crash(file: &Path) -> PathBuf {
    let left = file.with_extension("left");
    for end in ["", "-wal"] {
        let name = |file: &Path| format!("{}{end}", file.display());
        std::fs::copy(name(file), name(&left)).unwrap();
    }
    left
}

/// Everything that is due to an endpoint, by the next owner of a file.
async fn due(world: &World<'_>, store: &SqliteStore, endpoint: &Endpoint) -> Vec<MessageId> {
    let claim = Claim {
        epoch: store.take_shards(NOW).await.unwrap()[0].1,
        room: u16::MAX,
        ..world.all_due(endpoint)
    };
    let claimed = store.claim(claim).await.unwrap().deliveries;
    claimed.iter().map(|delivery| delivery.message).collect()
}

fn rows(file: &Path) -> i64 {
    let connection = Connection::open(file).unwrap();
    let sql = "SELECT count(*) FROM delivery";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn settled(file: &Path) -> i64 {
    let connection = Connection::open(file).unwrap();
    let sql = "SELECT value FROM counter WHERE name = 'settled'";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_delivery_that_succeeds_never_has_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let (first, second) = (world.endpoint().await, world.endpoint().await);

    let message = world.send(&[&first, &second]).await;
    let before = rows(&file);
    for endpoint in [&first, &second] {
        let then = AfterAttempt::Success;
        world.tried(message, endpoint, 1, then).await;
    }

    assert_eq!((before, rows(&file)), (0, 0));
    assert!(due(&world, &store, &first).await.is_empty());
}

#[tokio::test]
async fn a_crash_leaves_due_what_did_not_succeed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let (first, second) = (world.endpoint().await, world.endpoint().await);
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(world.send(&[&first, &second]).await);
    }
    let success = AfterAttempt::Success;
    world.tried(sent[0], &first, 1, success).await;
    world.tried(sent[1], &second, 1, success).await;
    let again = AfterAttempt::RetryAt(NOW);
    world.tried(sent[2], &first, 1, again).await;
    world.tried(sent[2], &first, 2, success).await;
    let later = AfterAttempt::RetryAt(NOW.plus(Duration::from_hours(1)));
    world.tried(sent[3], &second, 1, later).await;

    let reopened = open(&crash(&file));

    let [to_first, to_second] = [&first, &second].map(|one| due(&world, &reopened, one));
    assert_eq!(to_first.await, [sent[1], sent[3]]);
    assert_eq!(to_second.await, [sent[0], sent[2]]);
}

/// A row that was erased for another reason than an attempt must not come back.
#[tokio::test]
async fn what_was_canceled_or_erased_before_a_crash_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let (kept, disabled) = (world.endpoint().await, world.endpoint().await);
    let (expunged, sent) = (
        world.send(&[&kept]).await,
        world.send(&[&kept, &disabled]).await,
    );
    world.disable(&disabled).await;
    world.enable(&disabled).await;
    let application = world.application.key;
    let done = store.expunge_message(application, expunged, NOW).await;
    done.unwrap();
    let after = world.send(&[&kept, &disabled]).await;

    let reopened = open(&crash(&file));

    assert_eq!(due(&world, &reopened, &kept).await, [sent, after]);
    assert_eq!(due(&world, &reopened, &disabled).await, [after]);
}

/// However long an endpoint takes: what a start has to look through stays short.
#[tokio::test]
async fn a_delivery_that_takes_long_gets_a_row_when_others_have_passed_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let (slow, quick) = (world.endpoint().await, world.endpoint().await);
    let waits = world.send(&[&slow]).await;
    let start = settled(&file);
    let mut last = waits;
    for _ in 0..20 {
        let messages: Vec<NewMessage> = (0..500).map(|_| world.message(&[&quick])).collect();
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        world.append(world.publish(messages)).await;
        let success = AfterAttempt::Success;
        let records = ids.iter().map(|id| world.attempt(*id, &quick, 1, success));
        store.record(records.collect()).await.unwrap();
        last = ids[499];
    }

    assert!(start < waits.key().0, "nothing was settled before");
    assert!(settled(&file) > waits.key().0, "the counter has passed it");
    assert!(settled(&file) < last.key().0);
    assert_eq!(rows(&file), 1);
    let reopened = open(&crash(&file));
    assert_eq!(due(&world, &reopened, &slow).await, [waits]);
    assert!(due(&world, &reopened, &quick).await.is_empty());
}

/// Memory is bounded: beyond so many there are rows, as if there were no other way.
#[tokio::test]
async fn a_backlog_has_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let endpoint = world.endpoint().await;
    for _ in 0..20 {
        let messages = (0..500).map(|_| world.message(&[&endpoint])).collect();
        world.append(world.publish(messages)).await;
    }

    assert!(rows(&file) > 5_000, "{} rows", rows(&file));
    assert_eq!(due(&world, &store, &endpoint).await.len(), 10_000);
    let reopened = open(&crash(&file));
    assert_eq!(due(&world, &reopened, &endpoint).await.len(), 10_000);
}

/// A clock that is set back draws keys that the counter may have passed.
#[tokio::test]
async fn a_message_that_is_not_the_newest_is_found_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let endpoint = world.endpoint().await;
    let (early, late) = (world.message(&[&endpoint]), world.message(&[&endpoint]));
    let ids = [early.id, late.id];
    world.put(late).await;
    store
        .check_writable(Timestamp::from_micros(0))
        .await
        .unwrap();
    world.put(early).await;

    let reopened = open(&crash(&file));

    assert_eq!(due(&world, &reopened, &endpoint).await, ids);
}

/// Retention shorter than a delivery takes: the delivery comes first, and pruning does not make
/// rows of all the others on its way.
#[tokio::test]
async fn pruning_by_age_makes_no_row_and_erases_nothing_that_is_to_be_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let endpoint = world.endpoint().await;
    let (done, waits) = (
        world.send(&[&endpoint]).await,
        world.send(&[&endpoint]).await,
    );
    let success = AfterAttempt::Success;
    world.tried(done, &endpoint, 1, success).await;
    let prune = store::Prune {
        now: NOW.plus(Duration::from_hours(24 * 365)),
        history: Duration::from_hours(1),
        statistics: Duration::from_hours(1),
        rows: 500,
    };

    let pruned = store.prune(prune).await.unwrap();
    let made = rows(&file);
    let left = due(&world, &open(&crash(&file)), &endpoint).await;

    assert_eq!((pruned.payloads, pruned.history), (1, 2), "{pruned:?}");
    assert_eq!(made, 0, "rows");
    assert_eq!(left, [waits]);
}

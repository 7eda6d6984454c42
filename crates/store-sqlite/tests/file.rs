//! What a file must stand: crashes, full disks, other processes, copies.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, their helpers included"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use posthaste_store_sqlite::{OpenError, Options, SqliteStore};
use store::conformance::{NOW, World};
use store::{AfterAttempt, Backup, Error, MessageRef, NewMessage, Payload, PublishOutcome, Store};

fn options(file: &Path) -> Options {
    Options::file(file, Arc::new(|cause| panic!("{cause}")))
}

fn quick(file: &Path) -> Options {
    Options {
        durable: false,
        ..options(file)
    }
}

fn open(file: &Path) -> SqliteStore {
    SqliteStore::open(options(file)).unwrap()
}

fn sized(world: &mut World<'_>, bytes: usize) -> NewMessage {
    NewMessage {
        payload: Payload {
            bytes: Bytes::from(vec![b'x'; bytes]),
            content_type: None,
        },
        ..world.message(&[])
    }
}

/// The files as they are at this moment are what a killed process leaves.
#[tokio::test]
async fn what_was_answered_is_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let crashed = folder.path().join("crashed.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let endpoint = world.endpoint().await;
    let delivered = world.send(&[&endpoint]).await;
    let pending = world.send(&[&endpoint]).await;
    let then = AfterAttempt::Success;
    world.tried(delivered, &endpoint, 1, then).await;
    world.disable(&endpoint).await;
    world.enable(&endpoint).await;
    let after = world.send(&[&endpoint]).await;

    for end in ["", "-wal"] {
        let name = |file: &Path| format!("{}{end}", file.display());
        std::fs::copy(name(&file), name(&crashed)).unwrap();
    }
    let reopened = open(&crashed);

    let epoch = reopened.take_shards(NOW).await.unwrap()[0].1;
    assert_eq!(epoch.0, world.epoch.0 + 1);
    let claim = store::Claim {
        epoch,
        ..world.all_due(&endpoint)
    };
    let claimed = reopened.claim(claim).await.unwrap().deliveries;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].message, after);
    for message in [delivered, pending, after] {
        let named = MessageRef::Id(message);
        let found = reopened.message(world.application.key, &named).await;
        assert_eq!(found.unwrap(), world.read(message).await);
        let page = store::conformance::everything();
        let found = reopened.message_destinations(message, page).await;
        assert_eq!(found.unwrap().items, world.destinations(message).await);
    }
    // What the writer keeps in memory is rebuilt: later messages are not canceled ones.
    let later = NewMessage {
        destinations: vec![endpoint.key],
        ..world.message(&[])
    };
    let appended = reopened.append(vec![world.publish(vec![later])]).await;
    assert!(matches!(
        appended.unwrap().outcomes[..],
        [PublishOutcome::Stored(_)]
    ));
    let claim = store::Claim {
        epoch,
        ..world.all_due(&endpoint)
    };
    assert_eq!(reopened.claim(claim).await.unwrap().deliveries.len(), 2);
}

#[tokio::test]
async fn a_store_that_was_dropped_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = open(&file);
    let mut world = World::new(&store).await;
    let message = world.send(&[]).await;
    let application = world.application.key;
    drop(store);

    let reopened = open(&file);

    let named = MessageRef::Id(message);
    let found = reopened.message(application, &named).await.unwrap();
    assert_eq!(found.unwrap().id, message);
}

#[test]
fn a_file_that_is_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let first = open(&file);

    let refused = SqliteStore::open(options(&file));

    assert!(matches!(refused, Err(OpenError::InUse)));
    drop(first);
    open(&file);
}

/// Nothing is lost, nothing is half there, and no restart is needed.
#[tokio::test]
async fn a_full_disk_is_answered_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(quick(&folder.path().join("store.db"))).unwrap();
    let mut world = World::new(&store).await;
    let endpoint = world.endpoint().await;
    let waiting = world.send(&[&endpoint]).await;
    store.limit_pages(Some(200)).await.unwrap();
    let mut stored = Vec::new();
    // Large messages first, then small ones into what is left of the room.
    let mut sizes = [50_000, 500].into_iter();
    let mut size = sizes.next().unwrap();
    let refused = loop {
        let message = sized(&mut world, size);
        let id = message.id;
        match store.append(vec![world.publish(vec![message])]).await {
            Ok(_) => stored.push(id),
            Err(error) => match sizes.next() {
                Some(next) => size = next,
                None => break (id, error),
            },
        }
        assert!(stored.len() < 1_000, "200 pages hold no 5 MB");
    };

    assert_eq!(refused.1, Error::Full);
    assert!(world.read(refused.0).await.is_none());
    assert_eq!(store.check_writable(NOW).await, Err(Error::Full));
    assert_eq!(world.due(&endpoint).await, [waiting], "reads go on");

    store.limit_pages(None).await.unwrap();
    assert_eq!(store.check_writable(NOW).await, Ok(()));
    let message = sized(&mut world, 50_000);
    stored.push(world.put(message).await);
    let then = AfterAttempt::Success;
    world.tried(waiting, &endpoint, 1, then).await;
    for id in stored {
        assert!(world.read(id).await.is_some());
    }
}

/// A store that lies is worse than one that is down.
#[tokio::test]
async fn a_damaged_file_is_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(quick(&file)).unwrap();
    let mut world = World::new(&store).await;
    for _ in 0..100 {
        let message = sized(&mut world, 1_000);
        world.put(message).await;
    }
    let (message, version) = (sized(&mut world, 1_000), world.version);
    let publish = world.publish(vec![message]);
    assert_eq!(version, publish.routing_version);
    drop(store);
    let mut bytes = std::fs::read(&file).unwrap();
    // All but the first pages, which hold the schema.
    bytes[64 * 4_096..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let fatal = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&fatal);
    let damaged = SqliteStore::open(Options {
        on_fatal: Arc::new(move |_| seen.store(true, Ordering::Relaxed)),
        ..quick(&file)
    });

    // It may be noticed at once, or when it is written to.
    if let Ok(damaged) = damaged {
        let answer = damaged.append(vec![publish]).await;
        assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
        assert!(fatal.load(Ordering::Relaxed));
    }
}

/// While others write; and it does not overwrite anything.
#[tokio::test]
async fn a_copy_is_a_store_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(quick(&folder.path().join("store.db"))).unwrap();
    let mut world = World::new(&store).await;
    let before = world.send(&[]).await;
    let copy = folder.path().join("copy.db");
    let backup = Backup { to: copy.clone() };

    let message = world.message(&[]);
    let during = message.id;
    let writing = store.append(vec![world.publish(vec![message])]);
    let (copied, written) = tokio::join!(store.backup(backup.clone()), writing);

    copied.unwrap();
    written.unwrap();
    assert_eq!(store.backup(backup).await, Err(Error::Conflict("file")));
    let copied = SqliteStore::open(quick(&copy)).unwrap();
    let named = MessageRef::Id(before);
    let found = copied.message(world.application.key, &named).await;
    assert!(found.unwrap().is_some());
    assert!(world.read(during).await.is_some());
}

/// However much is written without a pause.
#[tokio::test]
async fn the_log_stays_small_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(quick(&folder.path().join("store.db"))).unwrap();
    let mut world = World::new(&store).await;
    let mut largest = 0;
    for _ in 0..250 {
        let messages = (0..10).map(|_| sized(&mut world, 100_000)).collect();
        let batch = vec![world.publish(messages)];
        store.append(batch).await.unwrap();
        largest = largest.max(store.stats().await.unwrap().wal_bytes);
    }

    let stats = store.stats().await.unwrap();
    assert!(stats.disk_bytes > 150 << 20, "{stats:?}");
    assert!(largest <= 64 << 20, "the log grew to {largest} bytes");
}

/// Threads of the caller find each other's writes.
#[test]
fn many_callers_share_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(quick(&folder.path().join("store.db"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (application, batches) = runtime.block_on(async {
        let mut world = World::new(&store).await;
        let batches: Vec<_> = (0..64)
            .map(|_| {
                let message = world.message(&[]);
                (message.id, world.publish(vec![message]))
            })
            .collect();
        (world.application.key, batches)
    });
    let before = store.commit_number();

    std::thread::scope(|scope| {
        for batch in batches.chunks(16) {
            let store = &store;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let appends = batch
                        .iter()
                        .map(|(_, publish)| store.append(vec![publish.clone()]));
                    for append in appends {
                        let appended = append.await.unwrap();
                        assert!(appended.commit > before);
                    }
                });
            });
        }
    });

    runtime.block_on(async {
        for (id, _) in batches {
            let named = MessageRef::Id(id);
            assert!(store.message(application, &named).await.unwrap().is_some());
        }
    });
}

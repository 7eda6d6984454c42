//! What is left in the files of an application that was deleted: nothing of its content.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, their helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{
    ApiKeyId, Channel, ErrorClass, EventId, EventType, JobId, OrderingKey, Subscription, Tag,
    TargetUrl, Uid,
};
use posthaste_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;
use store::conformance::World;
use store::{
    AfterAttempt, ApplicationChange, ApplicationRef, AuditStore as _, Author, Endpoint,
    EndpointChange, JobCriteria, JobKind, KeyQuota, NewApiKey, NewEndpoint, NewJob, NewMessage,
    Payload, Prune, ReplayOf, Rotation, Scope, Sealed, Store,
};

/// In everything that the deleted application is about, and in nothing else.
const DOOMED: &str = "doomed";
/// The same of the application beside it: what shows that the search finds things.
const KEPT: &str = "remain";

/// What becomes of a table's rows when their application is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// They go with it.
    Erased,
    /// They belong to the organization, or to nobody, and say nothing of an application's content.
    NoContent,
    /// They are gone soon whatever happens to the application.
    Passing,
}

/// One line for each table: a new one has to be thought about.
const VERDICTS: &[(&str, Verdict)] = &[
    ("announcement", Verdict::Passing),
    ("api_key", Verdict::Erased),
    ("application", Verdict::Erased),
    ("attempt", Verdict::Erased),
    // Who did what and when, to which id: the values are in `audit_values`.
    ("audit", Verdict::NoContent),
    ("audit_end", Verdict::NoContent),
    ("audit_values", Verdict::Erased),
    ("counter", Verdict::NoContent),
    // Hashes of what providers sent; they end with their time.
    ("deduplication", Verdict::Passing),
    ("delivery", Verdict::Erased),
    ("endpoint", Verdict::Erased),
    ("endpoint_failing", Verdict::Erased),
    ("endpoint_minute", Verdict::Erased),
    ("endpoint_secret", Verdict::Erased),
    ("endpoint_url", Verdict::Erased),
    ("event_type", Verdict::NoContent),
    ("expiry", Verdict::NoContent),
    ("fan_out", Verdict::Erased),
    ("fan_out_destinations", Verdict::Erased),
    // Hashes of keys and bodies, and ids.
    ("idempotency", Verdict::Passing),
    ("job", Verdict::Erased),
    ("job_target", Verdict::Erased),
    ("line", Verdict::Erased),
    ("message", Verdict::Erased),
    ("organization", Verdict::NoContent),
    ("probe", Verdict::NoContent),
    ("request", Verdict::Erased),
    ("schema_version", Verdict::NoContent),
    ("scrub", Verdict::NoContent),
    ("shard", Verdict::NoContent),
    ("source", Verdict::Erased),
    ("source_secret", Verdict::Erased),
    // SQLite's own.
    ("sqlite_sequence", Verdict::NoContent),
];

fn options(file: &Path) -> Options {
    Options {
        durable: false,
        seed: [9; 32],
        ..Options::file(file, Arc::new(|cause| panic!("{cause}")))
    }
}

/// Numbers that are the same at each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn filled(name: &str, bytes: u64) -> Vec<u8> {
    let unit = format!("\"{name}-content\",");
    unit.bytes()
        .cycle()
        .take(usize::try_from(bytes).unwrap())
        .collect()
}

fn subscription(name: &str) -> Subscription {
    Subscription {
        event_types: None,
        channels: Some(vec![Channel::parse(&format!("{name}-channel")).unwrap()]),
    }
}

fn metadata(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(format!("{name}-key"), format!("{name}-value"))])
}

async fn an_endpoint(world: &mut World<'_>, name: &str, number: u64) -> Endpoint {
    let sealed = |what: &str| Sealed(format!("{name}-{what}-{number}").into_bytes());
    let new = NewEndpoint {
        uid: Some(Uid::parse(&format!("{name}-uid-{number}")).unwrap()),
        url: TargetUrl::parse(&format!("https://{name}.example/first/{number}")).unwrap(),
        description: format!("{name}-description").repeat(20),
        subscription: subscription(name),
        metadata: metadata(name),
        headers: Some(sealed("header")),
        secret: sealed("secret"),
        ..world.new_endpoint()
    };
    let made = world.store.create_endpoint(new).await.unwrap().into_inner();
    let change = EndpointChange {
        url: Some(TargetUrl::parse(&format!("https://{name}.example/{number}")).unwrap()),
        description: Some(format!("{name}-changed")),
        headers: Some(Some(sealed("other-header"))),
        ..EndpointChange::default()
    };
    let changed = world.change(&made, change).await;
    let rotation = Rotation {
        secret: sealed("rotated"),
        old_expires: world.now,
        secrets_max: 5,
        now: world.now,
        idempotency: None,
    };
    let named = store::EndpointRef::Id(made.id);
    let application = world.application.key;
    let rotated = world.store.rotate_secret(application, &named, rotation);
    rotated.await.unwrap();
    world.reload().await;
    changed
}

async fn some_messages(world: &mut World<'_>, name: &str, to: &Endpoint, dice: &mut Dice) {
    for _ in 0..25 {
        // From none to several overflow pages.
        let size = [40, 900, 3_000, 9_000, 30_000][usize::try_from(dice.below(5)).unwrap()];
        let bits = world.bits();
        let ordered = dice.below(4) == 0;
        let message = NewMessage {
            event_type: EventType::parse(&format!("{name}.happened")).unwrap(),
            event_id: Some(EventId::parse(&format!("{name}-event-{bits}")).unwrap()),
            channels: subscription(name).channels.unwrap(),
            tags: vec![Tag::parse(&format!("{name}-tag")).unwrap()],
            expires: world.after(if dice.below(2) == 0 { 60 } else { 86_400 }),
            ordering_key: ordered.then(|| OrderingKey::parse(&format!("{name}-line")).unwrap()),
            payload: Payload {
                bytes: Bytes::from(filled(name, size + dice.below(size))),
                content_type: Some(format!("application/{name}").into()),
            },
            ..world.message(&[to])
        };
        let message = world.put(message).await;
        if ordered {
            continue;
        }
        let mut attempt = world.attempt(message, to, 1, AfterAttempt::Success);
        attempt.response = Bytes::from(filled(name, dice.below(6_000)));
        attempt.error = Some(ErrorClass::ConnectFailed);
        attempt.error_detail = Some(format!("{name}-detail").into());
        if dice.below(3) == 0 {
            attempt.then = AfterAttempt::RetryAt(world.after(60));
        }
        world.record(attempt).await;
    }
}

async fn the_rest(world: &mut World<'_>, name: &str, endpoint: &Endpoint) {
    let organization = world.organization;
    let named = ApplicationRef::Id(world.application.id);
    for suffix in ["first", "second"] {
        let change = ApplicationChange {
            uid: Some(Some(Uid::parse(&format!("{name}-{suffix}")).unwrap())),
            name: Some(format!("{name} {suffix}")),
            metadata: Some(metadata(name)),
            now: world.now,
            ..ApplicationChange::default()
        };
        let updated = world.store.update_application(organization, &named, change);
        updated.await.unwrap();
    }
    let key = NewApiKey {
        id: ApiKeyId::from_bits(world.bits()),
        organization,
        application: Some(world.application.key),
        name: format!("{name}-key"),
        hash: [u8::try_from(name.len()).unwrap() ^ name.as_bytes()[0]; 32],
        prefix: name.to_owned(),
        scope: Scope::Read,
        portal: None,
        quota: KeyQuota::default(),
        expires: None,
        keys_max: 100,
        now: world.now,
        idempotency: None,
    };
    world.store.create_api_key(key).await.unwrap();
    let job = NewJob {
        id: JobId::from_bits(world.bits()),
        organization,
        application: world.application.key,
        kind: JobKind::Replay,
        endpoints: vec![endpoint.key],
        endpoint: Some(endpoint.id),
        criteria: JobCriteria {
            since: None,
            until: world.now,
            event_types: Some(vec![EventType::parse(&format!("{name}.happened")).unwrap()]),
            channel: Some(Channel::parse(&format!("{name}-channel")).unwrap()),
            tag: Some(Tag::parse(&format!("{name}-tag")).unwrap()),
            of: vec![ReplayOf::Failed],
            status_class: None,
        },
        requests: None,
        rate: None,
        jobs_max: 10,
        now: world.now,
        idempotency: None,
    };
    world.store.create_job(job).await.unwrap();
    let source = world.new_source(name);
    let source = world
        .store
        .create_source(source)
        .await
        .unwrap()
        .into_inner();
    let request = world.new_request(&source, name);
    world.store.note_requests(vec![request]).await.unwrap();
}

async fn prune(store: &SqliteStore, world: &World<'_>) {
    let prune = Prune {
        now: world.now,
        history: Duration::from_hours(90 * 24),
        statistics: Duration::from_hours(90 * 24),
        rows: 100,
    };
    while store.prune(prune).await.unwrap().more {}
}

fn places_of(file: &Path, needle: &str) -> Vec<String> {
    let mut places = Vec::new();
    for end in ["", "-wal", "-journal"] {
        let bytes = std::fs::read(format!("{}{end}", file.display())).unwrap_or_default();
        let needle = needle.as_bytes();
        let mut from = 0;
        while let Some(next) = bytes[from..].iter().position(|byte| *byte == needle[0]) {
            let at = from + next;
            from = at + 1;
            if !bytes[at..].starts_with(needle) {
                continue;
            }
            let around = &bytes[at.saturating_sub(20)..bytes.len().min(at + 40)];
            let text = String::from_utf8_lossy(around).escape_debug().to_string();
            places.push(format!("page {} {end}: {text}", at / 4096 + 1));
        }
    }
    places
}

#[tokio::test]
async fn a_deleted_application_leaves_nothing_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(options(&file)).unwrap();
    store.announce(true);
    let mut world = World::new(&store).await;
    let doomed = world.application.clone();
    let new = world.new_application(None);
    let kept = store.create_application(new).await.unwrap().into_inner();
    let mut dice = Dice(0x9e37_79b9);
    for number in 0..10 {
        if number == 5 {
            // What was freed holds content still, and is taken for other content.
            world.wait(120);
            prune(&store, &world).await;
        }
        for (application, name) in [(&doomed, DOOMED), (&kept, KEPT)] {
            world.application = application.clone();
            world.reload().await;
            let endpoint = an_endpoint(&mut world, name, number).await;
            some_messages(&mut world, name, &endpoint, &mut dice).await;
            if number == 0 {
                the_rest(&mut world, name, &endpoint).await;
            }
        }
    }
    let author = store.authored(Author::default());
    let named = ApplicationRef::Id(doomed.id);
    let deleted = author.delete_application(world.organization, &named, world.now);
    deleted.await.unwrap();
    let told = store.announcements(u16::MAX).await.unwrap();
    let last = told.last().unwrap().number;
    store.forget_announcements(last).await.unwrap();
    assert!(!places_of(&file, DOOMED).is_empty());

    // The last round finds that the log was cut after the one before.
    for _ in 0..3 {
        prune(&store, &world).await;
    }

    assert_eq!(places_of(&file, DOOMED), [""; 0]);
    drop(author);
    drop(store);
    assert_eq!(places_of(&file, DOOMED), [""; 0]);
    assert!(places_of(&file, KEPT).len() > 1_000);
    let database = Connection::open(&file).unwrap();
    let verdict: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let free: i64 = database
        .query_row("PRAGMA freelist_count", [], |row| row.get(0))
        .unwrap();
    assert!(free > 100, "what was free is free again");
}

#[test]
fn every_table_has_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    drop(SqliteStore::open(options(&file)).unwrap());
    let database = Connection::open(&file).unwrap();
    let mut select = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let tables: BTreeSet<String> = select
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();

    let judged: BTreeSet<String> = VERDICTS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();

    assert_eq!(tables, judged, "say what erasing an application does to it");
}

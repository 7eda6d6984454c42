//! What only the inside can show: query plans, merged batches, and what a rollback leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use domain::{
    ApplicationId, EndpointId, IdSequence, OrganizationKey, Subscription, TargetUrl, Timestamp,
};
use rusqlite::Connection;
use store::conformance::{NOW, World, ascending, descending};
use store::{
    AfterAttempt, Appended, EndpointChange, EndpointRef, Error, NewApplication, NewEndpoint,
    PageRequest, Publish, PublishOutcome, Sealed,
};
use tokio::sync::oneshot::{Receiver, channel};

use crate::fault::Fault;
use crate::page::Walk;
use crate::writer::{Job, Task, Tx, Weight, Writer};
use crate::{
    Backend, Options, SqliteStore, append, application, attempt, claim, endpoint, event_type,
    expand, give_up, job_step, message, migrate, prune,
};

// ---- Query plans -----------------------------------------------------------------------------

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let count = statement.parameter_count();
    let nulls = rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, count));
    statement
        .query_map(nulls, |row| row.get(3))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn migrated() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    migrate::migrate(&connection).unwrap();
    connection
}

/// Whatever runs per delivery, per destination or per page costs a range of an index.
#[test]
fn hot_queries_and_lists_scan_and_sort_nothing() {
    let connection = migrated();
    let page: [PageRequest<()>; 2] = [ascending(10, None), descending(10, None)];
    let mut queries: Vec<String> = [
        claim::CLAIM,
        claim::NEXT_DUE,
        claim::ACTIVE,
        claim::NEXT_DESTINATION,
        claim::EARLIEST_DUE,
        give_up::PENDING,
        prune::UNSETTLED,
        prune::NEXT_EXPIRY,
        prune::UNFINISHED,
        prune::DELETED,
        prune::UNSETTLED_LINES,
        expand::INSERT,
        expand::ERASE_CANCELED,
        expand::FRESH,
        job_step::BUSY,
    ]
    .map(str::to_owned)
    .into();
    for walk in page.iter().map(Walk::of) {
        queries.extend([
            application::list_sql(&walk),
            attempt::by_endpoint_sql(&walk),
            attempt::destination_sql(&walk),
            endpoint::list_sql(&walk),
            event_type::list_sql(&walk),
            message::list_sql(&walk),
            message::list_ended_sql(&walk),
        ]);
    }

    for sql in queries {
        let plan = plan(&connection, &sql);

        let steps = plan.join("\n");
        let constant = steps.replace("SCAN CONSTANT ROW", "");
        // A subquery of one row is read whole; what it is made of shows as steps of its own.
        let constant = constant.replace("SCAN (subquery", "");
        assert!(!constant.contains("SCAN"), "{sql}\n{steps}");
        assert!(!steps.contains("TEMP B-TREE"), "{sql}\n{steps}");
    }
}

/// Steps of SQLite's virtual machine: what a claim reads does not depend on how much more is due.
#[test]
fn a_claim_takes_as_many_steps_from_a_thousand_as_from_a_hundred_thousand() {
    let connection = migrated();
    let mut taken = Vec::new();
    for due in [1_000, 100_000] {
        connection
            .execute_batch(&format!(
                "WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {due})
                 INSERT OR IGNORE INTO message
                     (key, rest, application, event_type, at, expires, payload)
                     SELECT k, 0, 1, 'a', 0, 0, x'31' FROM n;
                 INSERT OR IGNORE INTO delivery
                     (message, endpoint, state, generation, due, attempts, scheduled)
                     SELECT key, 1, 1, 0, 0, 0, 0 FROM message;",
            ))
            .unwrap();
        let mut select = connection.prepare(claim::CLAIM).unwrap();
        let mut rows = select.query((1, 0, 0, i64::MIN, i64::MIN)).unwrap();
        for _ in 0..64 {
            assert!(rows.next().unwrap().is_some());
        }
        drop(rows);
        taken.push(select.get_status(rusqlite::StatementStatus::VmStep));
    }

    assert!(taken[0] > 64, "{taken:?}");
    assert_eq!(taken[0], taken[1]);
}

/// They are sorted for each page, but nobody else's are looked at.
#[test]
fn attempts_of_a_message_are_one_range() {
    let connection = migrated();
    let walk = Walk::of::<()>(&ascending(10, None));

    let plan = plan(&connection, &attempt::by_message_sql(&walk));

    let range = "SEARCH attempt USING PRIMARY KEY (message=?)";
    assert!(plan.iter().any(|step| step == range), "{plan:?}");
    assert!(!plan.iter().any(|step| step.contains("SCAN")), "{plan:?}");
}

#[test]
fn the_lookups_of_an_append_are_searches() {
    let connection = migrated();
    for sql in [
        "SELECT routing_version FROM application WHERE key = ?1 AND deleted IS NULL",
        "SELECT key, rest FROM message WHERE application = ?1 AND event_id = ?2",
        "SELECT coalesce(max(key), 0) FROM message",
        "SELECT fingerprint, effect FROM idempotency WHERE kind = ?1 AND bucket = ?2 AND key = ?3",
    ] {
        let plan = plan(&connection, sql).join("\n");

        assert!(plan.contains("SEARCH"), "{sql}\n{plan}");
    }
}

// ---- Batches ---------------------------------------------------------------------------------

/// A writer without threads, and something to write.
struct Bench {
    writer: Writer,
    commits: Arc<AtomicU64>,
    ids: IdSequence,
    application: store::Application,
    version: u64,
}

type Answer<T> = Receiver<Result<T, Error>>;

fn job<T: Send + 'static>(
    savepoint: bool,
    work: impl FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
) -> (Box<dyn Job>, Answer<T>) {
    let (reply, answer) = channel();
    let task = Task {
        work,
        weight: Weight::default(),
        savepoint,
        result: Err(Error::Failed("the work did not run".into())),
        reply,
    };
    (Box::new(task), answer)
}

fn answered<T>(mut answer: Answer<T>) -> Result<T, Error> {
    answer.try_recv().expect("answered")
}

impl Bench {
    fn new() -> Self {
        let connection = migrated();
        let commits = Arc::new(AtomicU64::new(0));
        let fatal = Arc::new(|cause: &str| panic!("{cause}"));
        let writer = Writer::new(connection, Arc::clone(&commits), [0; 32], fatal).unwrap();
        let mut ids = IdSequence::default();
        let new = NewApplication {
            organization: OrganizationKey(1),
            id: ApplicationId::from_bits(ids.next(NOW, 0)),
            uid: None,
            name: "bench".into(),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            applications_max: u64::MAX,
            now: NOW,
            idempotency: None,
        };
        let mut bench = Self {
            writer,
            commits,
            ids,
            application: store::Application {
                key: domain::ApplicationKey(0),
                id: new.id,
                uid: None,
                name: String::new(),
                throttle_rate: None,
                metadata: BTreeMap::new(),
                created: NOW,
                updated: NOW,
            },
            version: 1,
        };
        let made = bench.run(true, move |tx| application::create(tx, &new));
        bench.application = made.unwrap().into_inner();
        bench
    }

    fn run<T: Send + 'static>(
        &mut self,
        savepoint: bool,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let (job, answer) = job(savepoint, work);
        self.writer.execute(vec![job]);
        answered(answer)
    }

    fn endpoint(&mut self) -> store::Endpoint {
        let new = NewEndpoint {
            application: self.application.key,
            id: EndpointId::from_bits(self.ids.next(NOW, 0)),
            uid: None,
            url: TargetUrl::parse("https://example.com/").unwrap(),
            description: String::new(),
            disabled: None,
            subscription: Subscription::default(),
            throttle_rate: None,
            tuning: domain::Tuning::default(),
            metadata: BTreeMap::new(),
            headers: None,
            secret: Sealed(vec![1]),
            endpoints_max: 10,
            now: NOW,
            idempotency: None,
        };
        self.version += 1;
        let made = self.run(true, move |tx| endpoint::create(tx, &new));
        made.unwrap().into_inner()
    }

    fn append(&mut self) -> (Box<dyn Job>, Answer<Appended>) {
        let message = store::NewMessage {
            id: domain::MessageId::from_bits(self.ids.next(NOW, 0)),
            event_type: domain::EventType::parse("a").unwrap(),
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            at: NOW,
            deliver_at: None,
            ordering_key: None,
            expires: NOW,
            payload: store::Payload {
                bytes: bytes::Bytes::from_static(b"1"),
                content_type: None,
            },
            destinations: Vec::new(),
            due: NOW,
        };
        let batch = vec![Publish {
            application: self.application.key,
            routing_version: self.version,
            messages: vec![message],
            on_event_id: store::OnEventId::Refuse,
            idempotency: None,
            reception: None,
            now: NOW,
        }];
        job(false, move |tx| append::append(tx, &batch))
    }

    fn count(&self, sql: &str) -> i64 {
        let connection = self.writer.connection();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn is_stored(appended: &Appended) -> bool {
    matches!(appended.outcomes[..], [PublishOutcome::Stored(_)])
}

/// A statement fails that no check foresaw.
fn broken() -> (Box<dyn Job>, Answer<()>) {
    job(false, |tx| {
        tx.connection
            .execute("INSERT INTO probe (id, at) VALUES (7, 0)", [])?;
        tx.connection
            .execute("INSERT INTO nowhere VALUES (1)", [])?;
        Ok(())
    })
}

#[test]
fn what_waits_together_is_one_commit() {
    let mut bench = Bench::new();
    let (first, first_answer) = bench.append();
    let (second, second_answer) = bench.append();
    let before = bench.commits.load(std::sync::atomic::Ordering::Relaxed);

    bench.writer.execute(vec![first, second]);

    let first = answered(first_answer).unwrap();
    let second = answered(second_answer).unwrap();
    assert_eq!((first.commit, second.commit), (before + 1, before + 1));
    let after = bench.commits.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(after, before + 1);
}

/// All three are one commit.
#[test]
fn outcomes_that_come_alone_wait_for_the_first_one_that_does_not() {
    let mut bench = Bench::new();
    let (jobs, waiting) = std::sync::mpsc::sync_channel(8);
    let patient = || {
        let (reply, answer) = channel();
        let task = Task {
            work: |_: &mut Tx<'_>| Ok(()),
            weight: Weight {
                patient: true,
                ..Weight::default()
            },
            savepoint: false,
            result: Ok(()),
            reply,
        };
        (Box::new(task) as Box<dyn Job>, answer)
    };
    let (first, first_answer) = patient();
    let (second, second_answer) = patient();
    let (append, append_answer) = bench.append();
    for job in [first, second, append] {
        jobs.send(job).unwrap();
    }
    drop(jobs);
    let before = bench.commits.load(std::sync::atomic::Ordering::Relaxed);

    bench.writer.run(&waiting, |_| {});

    assert_eq!(answered(first_answer), Ok(()));
    assert_eq!(answered(second_answer), Ok(()));
    assert_eq!(answered(append_answer).unwrap().commit, before + 1);
}

#[test]
fn a_statement_that_fails_disturbs_no_neighbour() {
    let mut bench = Bench::new();
    let (first, first_answer) = bench.append();
    let (bad, bad_answer) = broken();
    let (last, last_answer) = bench.append();

    bench.writer.execute(vec![first, bad, last]);

    assert!(is_stored(&answered(first_answer).unwrap()));
    assert!(is_stored(&answered(last_answer).unwrap()));
    assert!(matches!(answered(bad_answer), Err(Error::Failed(_))));
    assert_eq!(bench.count("SELECT count(*) FROM message"), 2);
    assert_eq!(bench.count("SELECT count(*) FROM probe WHERE id = 7"), 0);
}

#[test]
fn a_write_that_is_refused_half_way_is_undone_alone() {
    let mut bench = Bench::new();
    let (first, first_answer) = bench.append();
    let (bad, bad_answer) = job::<()>(true, |tx| {
        tx.connection
            .execute("INSERT INTO probe (id, at) VALUES (7, 0)", [])?;
        Err(Error::Conflict("uid").into())
    });
    let (failing, failing_answer) = job::<()>(true, |tx| {
        tx.connection
            .execute("INSERT INTO probe (id, at) VALUES (8, 0)", [])?;
        tx.connection
            .execute("INSERT INTO nowhere VALUES (1)", [])?;
        Ok(())
    });
    let before = bench.commits.load(std::sync::atomic::Ordering::Relaxed);

    bench.writer.execute(vec![bad, first, failing]);

    let first = answered(first_answer).unwrap();
    assert!(is_stored(&first));
    assert_eq!(first.commit, before + 1, "one transaction for all three");
    assert_eq!(answered(bad_answer), Err(Error::Conflict("uid")));
    assert!(matches!(answered(failing_answer), Err(Error::Failed(_))));
    assert_eq!(bench.count("SELECT count(*) FROM probe WHERE id > 1"), 0);
}

/// What the writer remembers of a rolled back disabling would cancel deliveries for ever.
#[test]
fn a_rollback_forgets_what_it_remembered() {
    let mut bench = Bench::new();
    let endpoint = bench.endpoint();
    let (application, named) = (bench.application.key, EndpointRef::Id(endpoint.id));
    let (undone, answer) = job::<()>(true, move |tx| {
        let change = EndpointChange {
            disabled: Some(Some(domain::DisabledReason::Requested)),
            ..EndpointChange::default()
        };
        endpoint::update(tx, application, &named, &change)?;
        Err(Error::Busy.into())
    });

    bench.writer.execute(vec![undone]);

    assert_eq!(answered(answer), Err(Error::Busy));
    let remembered = bench.run(false, move |tx| Ok(tx.memory.generation(endpoint.key)));
    assert_eq!(remembered, Ok(0));
}

// ---- Counters --------------------------------------------------------------------------------

/// Once per attempt, in the minute in which it began.
#[tokio::test]
async fn counters_rise_with_each_recorded_attempt() {
    let sqlite = SqliteStore::open(Options::memory()).unwrap();
    let mut world = World::new(&sqlite).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let retry = AfterAttempt::RetryAt(world.now);
    world.tried(message, &endpoint, 1, retry).await;
    world.tried(message, &endpoint, 1, retry).await;
    world.tried(message, &endpoint, 2, retry).await;
    world.wait(60);
    world
        .tried(message, &endpoint, 3, AfterAttempt::Success)
        .await;

    let Backend::Inline(writer) = &*sqlite.backend else {
        panic!("a store in memory is inline");
    };
    let rows: Vec<(i64, i64, i64, i64)> = writer
        .lock()
        .unwrap()
        .connection()
        .prepare("SELECT minute, success, fail, duration FROM endpoint_minute ORDER BY minute")
        .unwrap()
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();

    let minute = |at: Timestamp| at.as_micros() / 60_000_000;
    let (first, second) = (minute(NOW), minute(world.now));
    assert_eq!(rows, [(first, 0, 2, 3_000), (second, 1, 0, 1_500)]);
}

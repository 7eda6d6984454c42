//! Replays and erased payloads: what receivers see of them.

use std::time::Duration;

use domain::{EndpointKey, JobId, MessageId, RetryPolicy, RetrySchedule};
use env::Entropy as _;
use store::{Endpoint, Job, JobAction, JobCriteria, JobKind, JobState, NewJob, ReplayOf};

use super::harness::{Reply, World};
use crate::EngineConfig;

const URL: &str = "https://a.example/hook";
const OTHER: &str = "https://b.example/hook";
const SECOND: Duration = Duration::from_secs(1);

/// One attempt per schedule, so that a failure is a dead letter at once.
fn config() -> EngineConfig {
    EngineConfig {
        retry: RetryPolicy {
            schedule: RetrySchedule::new(vec![Duration::ZERO]).expect("valid"),
            ..RetryPolicy::default()
        },
        ..EngineConfig::default()
    }
}

/// So many dead letters at each endpoint.
async fn dead_letters(world: &World, count: usize) -> Vec<MessageId> {
    for url in [URL, OTHER] {
        world.network.always(url, Reply::Status(500));
    }
    let messages = world.publish_many(count).await;
    world.pass(120 * SECOND).await;
    for url in [URL, OTHER] {
        world.network.always(url, Reply::Status(200));
    }
    messages
}

async fn replay(world: &World, to: &[&Endpoint], rate: Option<u32>) -> Job {
    let now = world.now();
    let new = NewJob {
        id: JobId::from_bits(world.entropy.next_u128()),
        organization: world.organization,
        application: world.application.key,
        kind: JobKind::Replay,
        endpoints: to
            .iter()
            .map(|endpoint| endpoint.key)
            .collect::<Vec<EndpointKey>>(),
        endpoint: None,
        criteria: JobCriteria {
            since: None,
            until: now,
            event_types: None,
            channel: None,
            tag: None,
            of: vec![ReplayOf::Failed],
            status_class: None,
        },
        requests: None,
        rate,
        jobs_max: 16,
        now,
        idempotency: None,
    };
    let job = world.store.create_job(new).await.unwrap().into_inner();
    world.running().engine.jobs_changed();
    job
}

async fn state(world: &World, job: &Job) -> Job {
    let found = world.store.job(world.organization, job.id).await;
    found.unwrap().unwrap()
}

fn delivered(world: &World, url: &str, before: usize) -> usize {
    world.network.seen_by(url).len() - before
}

#[tokio::test(start_paused = true)]
async fn a_replay_delivers_dead_letters_once_each() {
    let world = World::with(config()).await;
    let (first, second) = (world.endpoint(URL).await, world.endpoint(OTHER).await);
    let messages = dead_letters(&world, 250).await;
    let before = world.network.seen_by(URL).len();

    let job = replay(&world, &[&first, &second], None).await;
    world.pass(30 * SECOND).await;

    assert_eq!(state(&world, &job).await.state, JobState::Finished);
    assert_eq!(state(&world, &job).await.done, 500);
    for url in [URL, OTHER] {
        let counts = world.network.counts(url);
        assert_eq!(counts.len(), messages.len());
        assert!(counts.values().all(|count| *count == 2), "{url}");
    }
    assert_eq!(delivered(&world, URL, before), 250);
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_after_a_crash_and_sends_nothing_twice() {
    let mut world = World::with(config()).await;
    let endpoint = world.endpoint(URL).await;
    let messages = dead_letters(&world, 600).await;
    let job = replay(&world, &[&endpoint], Some(100)).await;
    world.pass(2 * SECOND).await;
    let half = state(&world, &job).await;
    assert_eq!(half.state, JobState::Running);
    assert!((100..400).contains(&half.done), "{}", half.done);

    world.crash();
    world.pass(SECOND).await;
    world.start().await;
    world.pass(60 * SECOND).await;

    let now = state(&world, &job).await;
    assert_eq!((now.state, now.done), (JobState::Finished, 600));
    let counts = world.network.counts(URL);
    assert_eq!(counts.len(), messages.len());
    // What was in flight at the crash may have been sent twice, and nothing else.
    let twice = counts.values().filter(|count| **count > 2).count();
    assert!(twice <= 64, "{twice}");
    assert!(counts.values().all(|count| *count >= 2));
}

#[tokio::test(start_paused = true)]
async fn a_replay_keeps_to_its_rate() {
    let world = World::with(config()).await;
    let endpoint = world.endpoint(URL).await;
    dead_letters(&world, 100).await;
    let before = world.network.seen_by(URL).len();

    let job = replay(&world, &[&endpoint], Some(5)).await;
    world.pass(4 * SECOND).await;
    let early = delivered(&world, URL, before);
    world.pass(20 * SECOND).await;

    assert!((15..=21).contains(&early), "{early}");
    assert_eq!(delivered(&world, URL, before), 100);
    assert_eq!(state(&world, &job).await.state, JobState::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_canceled_replay_stops_at_once_and_a_paused_one_until_it_is_resumed() {
    let world = World::with(config()).await;
    let endpoint = world.endpoint(URL).await;
    dead_letters(&world, 200).await;
    let before = world.network.seen_by(URL).len();
    let job = replay(&world, &[&endpoint], Some(10)).await;
    let change = async |action| {
        let changed = world
            .store
            .change_job(world.organization, job.id, action, world.now());
        changed.await.unwrap();
        world.running().engine.jobs_changed();
    };
    world.pass(2 * SECOND).await;

    change(JobAction::Pause).await;
    world.pass(SECOND).await;
    let paused = delivered(&world, URL, before);
    world.pass(10 * SECOND).await;
    assert_eq!(delivered(&world, URL, before), paused);
    change(JobAction::Resume).await;
    world.pass(2 * SECOND).await;
    assert!(delivered(&world, URL, before) > paused);
    change(JobAction::Cancel).await;
    world.pass(SECOND).await;
    let canceled = delivered(&world, URL, before);
    world.pass(60 * SECOND).await;
    assert_eq!(delivered(&world, URL, before), canceled);
    assert!(canceled < 100, "{canceled}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_holds_up_no_other_of_its_replay() {
    let world = World::with(config()).await;
    let (hung, healthy) = (world.endpoint(URL).await, world.endpoint(OTHER).await);
    dead_letters(&world, 2_000).await;
    world.network.always(URL, Reply::Hang);
    let before = world.network.seen_by(OTHER).len();

    let job = replay(&world, &[&hung, &healthy], None).await;
    world.pass(60 * SECOND).await;

    assert_eq!(delivered(&world, OTHER, before), 2_000);
    let now = state(&world, &job).await;
    assert_eq!((now.state, now.targets_done), (JobState::Running, 1));
    assert!(
        now.done < 2_000 + 1_300,
        "the hung one has enough: {}",
        now.done
    );
}

#[tokio::test(start_paused = true)]
async fn an_expunged_message_that_is_queued_is_not_sent() {
    let config = EngineConfig {
        concurrency_start: 1,
        concurrency_max: 1,
        ..config()
    };
    let world = World::with(config).await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));
    let messages = world.publish_many(4).await;
    world.settle().await;

    for message in [messages[1], messages[3]] {
        let application = world.application.key;
        let expunged = world
            .store
            .expunge_message(application, message, world.now());
        assert!(expunged.await.unwrap().canceled);
        world.running().engine.expunged(message.key());
    }
    world.pass(60 * SECOND).await;

    let counts = world.network.counts(URL);
    let sent: Vec<_> = messages
        .iter()
        .map(|id| counts.contains_key(&id.to_string()))
        .collect();
    assert_eq!(sent, [true, false, true, false]);
}

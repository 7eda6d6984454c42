//! Jobs: replays and erasing content.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    AttemptId, CancelReason, DeliveryState, EndpointKey, EventType, EventTypeFilter, FailReason,
    JobId, JobKey, MessageId, OrganizationKey, Trigger,
};

use super::world::{channel, key};
use super::{World, ascending, descending, everything};
use crate::{
    AfterAttempt, AttemptFilter, AttemptRecord, Cursor, Endpoint, Error, Expand, FAN_OUT_INLINE,
    Job, JobAction, JobCriteria, JobFilter, JobKind, JobState, JobStep, JobStepped, NewJob,
    NewMessage, Preview, Previewed, Prune, ReplayOf, Resent, Store, Write,
};

/// About everything published until a moment after now.
fn criteria(world: &World<'_>, of: &[ReplayOf]) -> JobCriteria {
    JobCriteria {
        since: None,
        until: world.after(1),
        event_types: None,
        channel: None,
        tag: None,
        of: of.to_vec(),
        status_class: None,
    }
}

fn new_job(world: &mut World<'_>, to: &[&Endpoint], of: &[ReplayOf]) -> NewJob {
    NewJob {
        id: JobId::from_bits(world.bits()),
        organization: world.organization,
        application: world.application.key,
        kind: JobKind::Replay,
        endpoints: to.iter().map(|endpoint| endpoint.key).collect(),
        endpoint: to
            .first()
            .map(|endpoint| endpoint.id)
            .filter(|_| to.len() == 1),
        criteria: criteria(world, of),
        requests: None,
        rate: None,
        jobs_max: 16,
        now: world.now,
        idempotency: None,
    }
}

async fn create(world: &World<'_>, new: NewJob) -> Job {
    world.store.create_job(new).await.unwrap().into_inner()
}

fn to_step(world: &World<'_>, job: JobKey) -> JobStep {
    JobStep {
        job,
        after: None,
        room: 100,
        rows: 500,
        busy: 1_000,
        due: world.now,
        now: world.now,
    }
}

async fn step(world: &World<'_>, job: &Job) -> JobStepped {
    let step = to_step(world, job.key);
    world.store.step_job(step).await.unwrap()
}

async fn read(world: &World<'_>, job: &Job) -> Job {
    let found = world.store.job(world.organization, job.id).await;
    found.unwrap().unwrap()
}

/// Messages that were delivered, dead-lettered, canceled, never sent, and one that waits.
async fn one_of_each(world: &mut World<'_>, endpoint: &Endpoint) -> [MessageId; 5] {
    let canceled = world.send(&[endpoint]).await;
    world.disable(endpoint).await;
    world.enable(endpoint).await;
    let delivered = world.send(&[endpoint]).await;
    let failed = world.send(&[endpoint]).await;
    let missing = world.send(&[]).await;
    let waiting = world.send(&[endpoint]).await;
    let then = AfterAttempt::Success;
    world.tried(delivered, endpoint, 1, then).await;
    let then = AfterAttempt::RetryAt(world.now);
    world.tried(failed, endpoint, 1, then).await;
    let then = AfterAttempt::Fail(FailReason::Exhausted);
    world.tried(failed, endpoint, 2, then).await;
    let then = AfterAttempt::RetryAt(world.after(300));
    world.tried(waiting, endpoint, 1, then).await;
    [delivered, failed, canceled, missing, waiting]
}

/// Every field, by id and in lists.
pub async fn a_job_reads_back_as_created(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let new = NewJob {
        kind: JobKind::BulkReplay,
        criteria: JobCriteria {
            since: Some(world.now),
            event_types: Some(vec![EventType::parse("a.b").unwrap()]),
            channel: Some(channel("c")),
            tag: Some(domain::Tag::parse("t").unwrap()),
            status_class: Some(500),
            ..criteria(&world, &[ReplayOf::Missing, ReplayOf::Failed])
        },
        rate: Some(70_000),
        ..new_job(&mut world, &[&endpoint], &[])
    };

    let job = create(&world, new.clone()).await;

    assert_eq!(
        (job.id, job.kind, job.state),
        (new.id, new.kind, JobState::Running)
    );
    assert_eq!((&job.criteria, job.rate), (&new.criteria, new.rate));
    assert_eq!(
        (job.application, job.endpoint),
        (new.application, new.endpoint)
    );
    assert_eq!((job.targets, job.targets_done), (1, 0));
    assert_eq!((job.examined, job.done), (0, 0));
    assert_eq!((job.created, job.updated), (world.now, world.now));
    assert_eq!(read(&world, &job).await, job);
    assert_eq!(store.job(OrganizationKey(99), job.id).await, Ok(None));
    let other = new_job(&mut world, &[&endpoint], &[]);
    let other = create(&world, other).await;
    assert_eq!((other.rate, other.criteria.event_types), (None, None));
}

/// One that is ended counts no more; and no job without its application.
pub async fn a_limit_and_a_missing_application_refuse_a_job(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let one = |world: &mut World<'_>| NewJob {
        jobs_max: 1,
        ..new_job(world, &[&endpoint], &[ReplayOf::Failed])
    };
    let new = one(&mut world);
    let job = create(&world, new).await;

    let refused = store.create_job(one(&mut world)).await;

    let limit = Error::Limit {
        name: "jobs_per_application",
        max: 1,
    };
    assert_eq!(refused, Err(limit));
    assert_eq!(step(&world, &job).await.state, JobState::Finished);
    store.create_job(one(&mut world)).await.unwrap();
    let foreign = NewJob {
        application: domain::ApplicationKey(99),
        ..one(&mut world)
    };
    let refused = store.create_job(foreign).await;
    assert_eq!(refused, Err(Error::NotFound("application")));
}

/// With the same key it is one job.
pub async fn a_repeated_creation_answers_the_job_as_it_is(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let keyed = |world: &mut World<'_>, fingerprint| NewJob {
        idempotency: Some(key(1, fingerprint)),
        ..new_job(world, &[&endpoint], &[ReplayOf::Failed])
    };
    let new = keyed(&mut world, 1);
    let first = create(&world, new).await;
    step(&world, &first).await;

    let again = store.create_job(keyed(&mut world, 1)).await.unwrap();

    let now = read(&world, &first).await;
    assert_eq!(now.state, JobState::Finished);
    assert_eq!(again, Write::Replayed(now));
    let other = store.create_job(keyed(&mut world, 2)).await;
    assert_eq!(other, Err(Error::KeyReused));
}

/// By application, kind and state, in both directions.
pub async fn jobs_are_listed_by_id_and_filtered(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut ids = Vec::new();
    for kind in [JobKind::Replay, JobKind::Recover, JobKind::Replay] {
        let new = NewJob {
            kind,
            ..new_job(&mut world, &[&endpoint], &[ReplayOf::Failed])
        };
        ids.push(create(&world, new).await.id);
    }
    let (organization, now) = (world.organization, world.now);
    let cancel = JobAction::Cancel;
    store
        .change_job(organization, ids[2], cancel, now)
        .await
        .unwrap();
    let list = async |filter: JobFilter, page| {
        let found = store.jobs(organization, &filter, page).await.unwrap();
        let ids: Vec<_> = found.items.iter().map(|job| job.id).collect();
        (ids, found.done)
    };
    let any = JobFilter::default;

    assert_eq!(list(any(), everything()).await, (ids.clone(), true));
    let application = Some(world.application.key);
    let of = JobFilter {
        application,
        ..any()
    };
    assert_eq!(
        list(of, descending(2, None)).await,
        (vec![ids[2], ids[1]], false)
    );
    let after = Some(Cursor::After(ids[0]));
    assert_eq!(
        list(any(), ascending(1, after)).await,
        (vec![ids[1]], false)
    );
    let kinds = Some(vec![JobKind::Recover]);
    let of = JobFilter { kinds, ..any() };
    assert_eq!(list(of, everything()).await, (vec![ids[1]], true));
    let states = Some(vec![JobState::Canceled, JobState::Finished]);
    let of = JobFilter { states, ..any() };
    assert_eq!(list(of, everything()).await, (vec![ids[2]], true));
    let application = Some(domain::ApplicationKey(99));
    let of = JobFilter {
        application,
        ..any()
    };
    assert_eq!(list(of, everything()).await, (vec![], true));
    let running = store.running_jobs(None, 10).await.unwrap();
    assert_eq!(running.len(), 2);
    let running = store.running_jobs(Some(running[0].key), 10).await.unwrap();
    assert_eq!(running.len(), 1);
}

/// What does not apply changes nothing, and nothing is done unless the job is running.
pub async fn a_job_is_paused_resumed_and_canceled(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    one_of_each(&mut world, &endpoint).await;
    let new = new_job(&mut world, &[&endpoint], &ReplayOf::ALL);
    let job = create(&world, new).await;
    world.wait(1);
    let change = async |action| {
        let changed = store.change_job(world.organization, job.id, action, world.now);
        changed.await.unwrap().state
    };

    assert_eq!(change(JobAction::Resume).await, JobState::Running);
    assert_eq!(change(JobAction::Pause).await, JobState::Paused);
    assert_eq!(read(&world, &job).await.updated, world.now);
    assert_eq!(step(&world, &job).await.state, JobState::Paused);
    assert_eq!(change(JobAction::Resume).await, JobState::Running);
    assert_eq!(change(JobAction::Cancel).await, JobState::Canceled);
    assert_eq!(change(JobAction::Resume).await, JobState::Canceled);
    let stepped = step(&world, &job).await;
    assert_eq!((stepped.state, stepped.done), (JobState::Canceled, 0));
    assert!(world.due(&endpoint).await.is_empty());
    let unknown = JobId::from_bits(1);
    let changed = store.change_job(world.organization, unknown, JobAction::Pause, world.now);
    assert_eq!(changed.await, Err(Error::NotFound("job")));
}

/// Whichever way it ended; what waits stays as it is, whether canceled ones are settled or not.
pub async fn a_replay_makes_due_what_ended_as_asked(store: &dyn Store) {
    let mut world = World::new(store).await;
    for (index, of) in ReplayOf::ALL.into_iter().enumerate() {
        for settled in [false, true] {
            let endpoint = world.endpoint().await;
            world.wait(60);
            let start = world.now;
            let ids = one_of_each(&mut world, &endpoint).await;
            if settled {
                let prune = Prune {
                    now: world.now,
                    history: Duration::from_hours(24),
                    statistics: Duration::from_hours(24),
                    rows: 1_000,
                };
                store.prune(prune).await.unwrap();
            }
            let mut new = new_job(&mut world, &[&endpoint], &[of]);
            new.criteria.since = Some(start);
            let preview = Preview {
                application: world.application.key,
                endpoint: endpoint.key,
                criteria: new.criteria.clone(),
                after: None,
                rows: 500,
            };
            let previewed = store.preview(preview).await.unwrap();
            assert_eq!((previewed.matched, previewed.next), (1, None), "{of:?}");

            let job = create(&world, new).await;
            let stepped = step(&world, &job).await;

            assert_eq!(
                (stepped.state, stepped.done),
                (JobState::Finished, 1),
                "{of:?}"
            );
            assert_eq!(stepped.target, Some(endpoint.key));
            assert_eq!(world.due(&endpoint).await, [ids[index]], "{of:?} {settled}");
            let now = read(&world, &job).await;
            assert_eq!((now.state, now.targets_done), (JobState::Finished, 1));
            assert_eq!(now.done, 1);
        }
    }
}

/// The schedule begins anew, numbers do not.
pub async fn a_replayed_delivery_has_its_whole_schedule_before_it(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [_, failed, ..] = one_of_each(&mut world, &endpoint).await;
    world.wait(3_600);
    let mut new = new_job(&mut world, &[&endpoint], &[ReplayOf::Failed]);
    new.criteria.until = world.now;
    let job = create(&world, new).await;

    step(&world, &job).await;

    let claimed = world.claim(&endpoint).await.deliveries;
    let replayed = claimed.iter().find(|one| one.message == failed).unwrap();
    assert_eq!((replayed.due, replayed.first_due), (world.now, world.now));
    assert_eq!((replayed.attempts, replayed.scheduled_attempts), (2, 0));
    assert_eq!(replayed.trigger, Trigger::Scheduled);
    let rows = world.destination(failed).await;
    assert_eq!(
        (rows.state, rows.fail_reason),
        (DeliveryState::Pending, None)
    );
    let then = AfterAttempt::Success;
    world.tried(failed, &endpoint, 3, then).await;
    let row = world.destination(failed).await;
    assert_eq!((row.state, row.attempts), (DeliveryState::Success, 3));
}

/// By type, channel, tag, time and the last answer's status; and nothing without a payload.
pub async fn a_replay_is_about_what_its_criteria_fit(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut ids = Vec::new();
    for (name, channels, tags, status) in [
        ("a", vec![], vec![], Some(500)),
        ("b", vec![channel("x")], vec![], Some(404)),
        ("a", vec![], vec![domain::Tag::parse("t").unwrap()], None),
    ] {
        world.wait(10);
        let message = NewMessage {
            event_type: EventType::parse(name).unwrap(),
            channels,
            tags,
            ..world.message(&[&endpoint])
        };
        let id = world.put(message).await;
        let then = AfterAttempt::Fail(FailReason::Exhausted);
        let record = AttemptRecord {
            http_status: status,
            ..world.attempt(id, &endpoint, 1, then)
        };
        world.record(record).await;
        ids.push(id);
    }
    let matched = async |change: &dyn Fn(&mut JobCriteria)| {
        let mut criteria = criteria(&world, &[ReplayOf::Failed]);
        change(&mut criteria);
        let preview = Preview {
            application: world.application.key,
            endpoint: endpoint.key,
            criteria,
            after: None,
            rows: 500,
        };
        store.preview(preview).await.unwrap().matched
    };

    assert_eq!(matched(&|_| {}).await, 3);
    let types = || Some(vec![EventType::parse("a").unwrap()]);
    assert_eq!(matched(&|c| c.event_types = types()).await, 2);
    assert_eq!(matched(&|c| c.channel = Some(channel("x"))).await, 1);
    let tag = || domain::Tag::parse("t").ok();
    assert_eq!(matched(&|c| c.tag = tag()).await, 1);
    for class in [0, 400, 500] {
        assert_eq!(matched(&|c| c.status_class = Some(class)).await, 1);
    }
    let now = world.now;
    assert_eq!(matched(&|c| c.until = now).await, 2);
    assert_eq!(matched(&|c| c.since = Some(now)).await, 1);
    store
        .expunge_message(world.application.key, ids[0], now)
        .await
        .unwrap();
    assert_eq!(matched(&|_| {}).await, 2);
}

/// What an endpoint did not subscribe to, and what is still to be fanned out, is not missing.
pub async fn a_replay_of_what_is_missing_follows_the_subscription(store: &dyn Store) {
    let mut world = World::new(store).await;
    let blog = world.send(&[]).await;
    let mut new = world.new_endpoint();
    new.subscription.event_types = Some(vec![
        EventTypeFilter::parse("audit.log").unwrap(),
        EventTypeFilter::parse("content.*").unwrap(),
    ]);
    let endpoint = store.create_endpoint(new).await.unwrap().into_inner();
    world.reload().await;
    let other = NewMessage {
        event_type: EventType::parse("other").unwrap(),
        ..world.message(&[])
    };
    world.put(other).await;
    let others = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE);
    let keys = std::iter::once(endpoint.key).chain(others);
    let wide = world.send_wide(keys).await;
    let new = new_job(&mut world, &[&endpoint], &[ReplayOf::Missing]);
    let job = create(&world, new).await;

    let stepped = step(&world, &job).await;

    assert_eq!(stepped.done, 1);
    assert_eq!(world.due(&endpoint).await, [blog]);
    let expand = Expand {
        message: wide,
        room: 1_000,
    };
    store.expand(expand).await.unwrap();
    assert_eq!(world.due(&endpoint).await, [blog, wide]);
}

/// Steps are bounded, and each goes on where the last one ended.
pub async fn a_job_goes_on_where_it_was(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (first, second) = (world.endpoint().await, world.endpoint().await);
    for _ in 0..5 {
        let message = world.send(&[&first, &second]).await;
        for endpoint in [&first, &second] {
            let then = AfterAttempt::Fail(FailReason::Exhausted);
            world.tried(message, endpoint, 1, then).await;
        }
    }
    let new = new_job(&mut world, &[&first, &second], &[ReplayOf::Failed]);
    let job = create(&world, new).await;
    let mut after = None;
    let mut steps = Vec::new();

    for _ in 0..8 {
        let step = JobStep {
            after,
            room: 2,
            ..to_step(&world, job.key)
        };
        let stepped = store.step_job(step).await.unwrap();
        after = stepped.target;
        steps.push((stepped.target, stepped.done));
        if stepped.state == JobState::Finished {
            break;
        }
    }

    let (a, b) = (Some(first.key), Some(second.key));
    assert_eq!(steps, [(a, 2), (b, 2), (a, 2), (b, 2), (a, 1), (b, 1)]);
    assert_eq!(world.due(&first).await.len(), 5);
    assert_eq!(world.due(&second).await.len(), 5);
    let now = read(&world, &job).await;
    assert_eq!((now.done, now.targets_done), (10, 2));
    assert!(now.examined >= 10);
    let again = step(&world, &job).await;
    assert_eq!((again.state, again.done), (JobState::Finished, 0));
}

/// A preview goes on where it ended, too.
pub async fn a_preview_is_bounded_and_changes_nothing(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    for _ in 0..3 {
        world.send(&[]).await;
    }
    let mut preview = Preview {
        application: world.application.key,
        endpoint: endpoint.key,
        criteria: criteria(&world, &[ReplayOf::Missing]),
        after: None,
        rows: 2,
    };

    let first = store.preview(preview.clone()).await.unwrap();
    preview.after = first.next;
    let second = store.preview(preview.clone()).await.unwrap();

    assert_eq!((first.matched, first.examined), (2, 2));
    assert!(first.next.is_some());
    let rest = Previewed {
        matched: 1,
        examined: 1,
        next: None,
    };
    assert_eq!(second, rest);
    assert!(world.due(&endpoint).await.is_empty());
}

/// Nothing is looked at until it has caught up; a closed endpoint is passed over for good.
pub async fn a_job_waits_for_a_busy_endpoint_and_passes_over_a_closed_one(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (busy, disabled, deleted) = (
        world.endpoint().await,
        world.endpoint().await,
        world.endpoint().await,
    );
    let waiting = [world.send(&[&busy]).await, world.send(&[&busy]).await];
    world.send(&[]).await;
    let all = [&busy, &disabled, &deleted];
    let new = new_job(&mut world, &all, &[ReplayOf::Missing]);
    let job = create(&world, new).await;
    world.disable(&disabled).await;
    world.delete(&deleted).await;
    let at_most = |busy| JobStep {
        busy,
        ..to_step(&world, job.key)
    };

    let stepped = store.step_job(at_most(2)).await.unwrap();

    assert!(stepped.busy);
    assert_eq!((stepped.done, stepped.target), (0, Some(busy.key)));
    assert_eq!(world.due(&busy).await, waiting);
    let stepped = store.step_job(at_most(3)).await.unwrap();
    assert_eq!((stepped.busy, stepped.done), (false, 1));
    assert_eq!(step(&world, &job).await.done, 0);
    let last = step(&world, &job).await;
    assert_eq!((last.state, last.done), (JobState::Finished, 0));
    assert_eq!(read(&world, &job).await.targets_done, 3);
}

/// What was unfinished is canceled, and never sent again.
pub async fn an_expunged_payload_is_gone_and_its_deliveries_are_canceled(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (first, second) = (world.endpoint().await, world.endpoint().await);
    let message = world.send(&[&first, &second]).await;
    let then = AfterAttempt::Success;
    world.tried(message, &first, 1, then).await;
    world.resend(message, &first).await;
    let expunge = |message| store.expunge_message(world.application.key, message, world.now);

    let expunged = expunge(message).await.unwrap();

    assert!(expunged.canceled);
    let row = world.read(message).await.unwrap();
    assert_eq!(row.payload, None);
    let rows = world.destinations(message).await;
    assert_eq!(
        rows[0].state,
        DeliveryState::Success,
        "as before the resend"
    );
    assert_eq!(rows[1].state, DeliveryState::Canceled);
    assert_eq!(rows[1].cancel_reason, Some(CancelReason::PayloadExpunged));
    assert!(world.due(&second).await.is_empty());
    assert_eq!(world.resend(message, &first).await, Resent::PayloadGone);
    let again = expunge(message).await.unwrap();
    assert!(!again.canceled);
    let unknown = world.message(&[]).id;
    let refused = store.expunge_message(world.application.key, unknown, world.now);
    assert_eq!(refused.await, Err(Error::NotFound("message")));
    let other = world.send(&[&first]).await;
    let foreign = store.expunge_message(domain::ApplicationKey(99), other, world.now);
    assert_eq!(foreign.await, Err(Error::NotFound("message")));
}

/// The next one of the same key need not wait for what is gone.
pub async fn an_expunged_head_of_a_line_lets_the_next_one_go(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let message = NewMessage {
            ordering_key: Some(domain::OrderingKey::parse("k").unwrap()),
            ..world.message(&[&endpoint])
        };
        ids.push(world.put(message).await);
    }
    let expunge = |message| store.expunge_message(world.application.key, message, world.now);

    let middle = expunge(ids[1]).await.unwrap();
    let head = expunge(ids[0]).await.unwrap();

    assert!(middle.canceled && middle.promoted.is_empty());
    assert_eq!(head.promoted, [endpoint.key]);
    assert_eq!(world.due(&endpoint).await, [ids[2]]);
}

/// No delivery is made of it any more.
pub async fn an_expunged_wide_message_is_expanded_no_further(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let others = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE);
    let keys = std::iter::once(endpoint.key).chain(others);
    let message = world.send_wide(keys).await;

    let expunged = store
        .expunge_message(world.application.key, message, world.now)
        .await
        .unwrap();

    assert!(expunged.canceled);
    let expand = Expand { message, room: 9 };
    let expanded = store.expand(expand).await.unwrap();
    assert!(expanded.done && expanded.destinations.is_empty());
    assert_eq!(store.unfinished_fan_outs(9).await, Ok(vec![]));
}

/// The rest of the attempt stays.
pub async fn an_expunged_answer_is_gone(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let then = AfterAttempt::Success;
    world.tried(message, &endpoint, 1, then).await;
    let page = everything();
    let filter = AttemptFilter::default();
    let found = store.attempts_by_message(message, &filter, page).await;
    let before = found.unwrap().items.remove(0);
    assert_eq!(before.response, "seen");

    let application = world.application.key;
    let expunge = async |attempt| {
        let expunged = store.expunge_attempt(application, message, attempt, world.now);
        expunged.await
    };
    expunge(before.id).await.unwrap();

    let after = store.attempt(message, before.id).await.unwrap().unwrap();
    assert_eq!(after.response, Bytes::new());
    assert_eq!(after.http_status, before.http_status);
    let unknown = AttemptId::derive(message, endpoint.id, 9, world.now);
    assert_eq!(expunge(unknown).await, Err(Error::NotFound("attempt")));
}

/// In steps; what is published later keeps its payload.
pub async fn a_purge_erases_the_payloads_of_an_application(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let waiting = world.send(&[&endpoint]).await;
    let mut ids = vec![waiting];
    for _ in 0..4 {
        ids.push(world.send(&[]).await);
    }
    let mut new = new_job(&mut world, &[], &[]);
    new.kind = JobKind::PurgeContent;
    let job = create(&world, new).await;
    world.wait(60);
    let later = world.send(&[&endpoint]).await;
    let mut canceled = Vec::new();

    for _ in 0..9 {
        let step = JobStep {
            room: 2,
            ..to_step(&world, job.key)
        };
        let stepped = store.step_job(step).await.unwrap();
        assert!(stepped.done <= 2);
        canceled.extend(stepped.canceled);
    }

    assert_eq!(canceled, [waiting.key()]);
    let now = read(&world, &job).await;
    assert_eq!((now.state, now.done), (JobState::Finished, 5));
    for id in ids {
        assert_eq!(world.read(id).await.unwrap().payload, None);
    }
    assert!(world.read(later).await.unwrap().payload.is_some());
    assert_eq!(world.due(&endpoint).await, [later]);
}

/// Ended ones with history, all of them with their application.
pub async fn old_jobs_are_erased(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let new = new_job(&mut world, &[&endpoint], &[ReplayOf::Failed]);
        jobs.push(create(&world, new).await);
    }
    step(&world, &jobs[0]).await;
    world.wait(7_200);
    let prune = Prune {
        now: world.now,
        history: Duration::from_hours(1),
        statistics: Duration::from_hours(1),
        rows: 1_000,
    };
    let read = async |job: &Job| store.job(world.organization, job.id).await.unwrap();

    store.prune(prune).await.unwrap();

    assert_eq!(read(&jobs[0]).await, None);
    assert!(read(&jobs[1]).await.is_some(), "it still runs");
    let named = crate::ApplicationRef::Id(world.application.id);
    store
        .delete_application(world.organization, &named, world.now)
        .await
        .unwrap();
    assert_eq!(read(&jobs[1]).await, None);
    let any = JobFilter::default();
    let list = store.jobs(world.organization, &any, everything()).await;
    assert!(list.unwrap().items.is_empty());
    store.prune(prune).await.unwrap();
    assert_eq!(store.running_jobs(None, 9).await, Ok(vec![]));
}

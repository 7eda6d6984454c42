//! Sources, and what they receive.

use std::time::Duration;

use domain::{EventType, InboundKey, JobId, MessageId, Uid};

use super::world::key;
use super::{World, everything};
use crate::{
    AuditFilter, Guard, InboundFilter, InboundSearch, InboundVerdict, JobAction, JobCriteria,
    JobKind, JobState, Mark, NewInbound, NewJob, Order, Origin, PageRequest, PruneRequests,
    PublishOutcome, Receipt, Reception, RequestCriteria, RequestReplay, RequestStep, RequestTally,
    Sealed, SecretChange, Source, SourceChange, SourceRef, SourceToken, Store,
};

const WINDOW: Duration = Duration::from_hours(1);

const fn mark(id: u8, body: u8) -> Mark {
    Mark {
        id: [id; 16],
        body: [body; 16],
    }
}

/// A source of the world's application.
async fn source(world: &mut World<'_>) -> Source {
    let new = world.new_source("first");
    let made = world.store.create_source(new).await.unwrap();
    made.into_inner()
}

/// A request with one message for each of the marks.
fn reception(world: &mut World<'_>, source: &Source, marks: &[Mark]) -> Reception {
    let request = NewInbound {
        verdict: InboundVerdict::Accepted,
        reason: None,
        diagnosis: None,
        ..world.new_request(source, "first")
    };
    Reception {
        request,
        source_version: source.version,
        shares_body: marks.len() == 1,
        marks: marks.iter().copied().map(Some).collect(),
        guard: None,
        window: WINDOW,
        refuses_conflicts: false,
    }
}

async fn receive(world: &mut World<'_>, reception: Reception) -> (PublishOutcome, Vec<MessageId>) {
    let messages: Vec<_> = reception.marks.iter().map(|_| world.message(&[])).collect();
    let ids = messages.iter().map(|message| message.id).collect();
    let mut publish = world.publish(messages);
    publish.reception = Some(Box::new(reception));
    (world.append(publish).await, ids)
}

#[track_caller]
fn receipt(outcome: PublishOutcome) -> Receipt {
    let PublishOutcome::Received(receipt) = outcome else {
        panic!("{outcome:?}");
    };
    *receipt
}

fn change(world: &World<'_>) -> SourceChange {
    SourceChange {
        now: world.now,
        ..SourceChange::default()
    }
}

/// A source reads back as created, by id, uid and key, and in the list.
pub async fn a_source_reads_back_as_created(store: &dyn Store) {
    let mut world = World::new(store).await;
    let mut new = world.new_source("first");
    new.uid = Some(Uid::parse("gh").unwrap());
    let made = store.create_source(new.clone()).await.unwrap().into_inner();

    assert_eq!((made.id, &made.token), (new.id, &new.token));
    assert_eq!(made.secrets[0].sealed, new.secrets[0]);
    let application = world.application.key;
    for named in [
        SourceRef::Id(made.id),
        SourceRef::Uid(new.uid.clone().unwrap()),
    ] {
        let found = store.source(application, &named).await.unwrap();
        assert_eq!(found.as_ref(), Some(&made));
    }
    assert_eq!(
        store.source_by_key(made.key).await.unwrap().as_ref(),
        Some(&made)
    );
    let page = PageRequest {
        limit: 10,
        order: Order::Ascending,
        cursor: None,
    };
    assert_eq!(
        store.sources(application, page).await.unwrap().items,
        std::slice::from_ref(&made)
    );
    let tokens = store.source_tokens(domain::SourceKey(0), 10).await.unwrap();
    assert_eq!((tokens[0].key, tokens[0].hash), (made.key, new.token.hash));
    let mut taken = world.new_source("first");
    taken.uid.clone_from(&new.uid);
    let refused = store.create_source(taken).await;
    assert_eq!(refused, Err(crate::Error::Conflict("uid")));
}

/// Every change raises the version; a replaced token works until its time, a secret too.
pub async fn a_change_of_a_source_raises_its_version(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let named = SourceRef::Id(made.id);
    let application = world.application.key;

    let paused = SourceChange {
        paused: Some(true),
        ..change(&world)
    };
    let paused = store
        .update_source(application, &named, paused)
        .await
        .unwrap();
    let token = SourceToken {
        hash: [9; 32],
        sealed: Sealed(vec![9]),
    };
    let rotated = SourceChange {
        token: Some((token.clone(), WINDOW)),
        secrets: Some(SecretChange {
            added: vec![Sealed(vec![8])],
            others_expire: world.now.plus(WINDOW),
            secrets_max: 2,
        }),
        ..change(&world)
    };
    let rotated = store
        .update_source(application, &named, rotated)
        .await
        .unwrap();
    let stale = SourceChange {
        version: Some(made.version),
        ..change(&world)
    };

    assert!(paused.paused && paused.version == made.version + 1);
    assert_eq!(rotated.version, made.version + 2);
    let until = world.now.plus(WINDOW);
    assert_eq!(rotated.earlier_token, Some((made.token.hash, until)));
    let ends: Vec<_> = rotated.secrets.iter().map(|one| one.expires).collect();
    assert_eq!(ends, [Some(until), None]);
    assert_eq!(rotated.secrets[1].number, 2);
    let refused = store.update_source(application, &named, stale).await;
    assert!(matches!(refused, Err(crate::Error::Refused(_))));
    store
        .delete_source(application, &named, world.now)
        .await
        .unwrap();
    assert_eq!(store.source_by_key(made.key).await.unwrap(), None);
}

/// A request that was judged by another version of its source stores nothing.
pub async fn a_request_of_a_changed_source_is_not_stored(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let mut stale = reception(&mut world, &made, &[mark(1, 1)]);
    stale.source_version += 1;
    let (outcome, ids) = receive(&mut world, stale).await;

    assert_eq!(outcome, PublishOutcome::SourceChanged);
    assert_eq!(world.read(ids[0]).await, None);

    let fresh = reception(&mut world, &made, &[mark(1, 1)]);
    let (outcome, _) = receive(&mut world, fresh).await;
    assert_eq!(receipt(outcome).verdict, InboundVerdict::Accepted);
}

/// A known mark answers the first message, keeps the repeat, and stores no other message.
pub async fn a_known_mark_is_a_duplicate_until_its_window_is_over(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let first = reception(&mut world, &made, &[mark(1, 1)]);
    let first_request = first.request.id;
    let (outcome, first) = receive(&mut world, first).await;
    assert_eq!(receipt(outcome).verdict, InboundVerdict::Accepted);

    for (body, differs) in [(1, false), (2, true)] {
        let again = reception(&mut world, &made, &[mark(1, body)]);
        let request = again.request.id;
        let (outcome, ids) = receive(&mut world, again).await;
        let seen = receipt(outcome);
        assert_eq!(seen.verdict, InboundVerdict::Duplicate);
        assert_eq!(seen.marks.body_differs, differs);
        assert_eq!(
            (seen.messages[0].id, seen.messages[0].duplicate),
            (first[0], true)
        );
        assert_eq!(world.read(ids[0]).await, None);
        let row = store
            .request(world.application.key, request)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.first, row.message),
            (Some(first_request), Some(first[0]))
        );
        assert!(row.body.is_some());
    }
    world.now = world.now.plus(WINDOW);
    let late = reception(&mut world, &made, &[mark(1, 1)]);
    let (outcome, _) = receive(&mut world, late).await;
    assert_eq!(receipt(outcome).verdict, InboundVerdict::Accepted);
}

/// A conflict and a replay are refused where that is asked for, and kept as refused.
pub async fn a_conflict_or_a_replay_is_refused_on_demand(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let guard = |refuses| {
        Some(Guard {
            seal: [7; 16],
            refuses,
        })
    };
    let mut first = reception(&mut world, &made, &[mark(1, 1)]);
    first.guard = guard(true);
    receive(&mut world, first).await;

    let mut conflict = reception(&mut world, &made, &[mark(1, 2)]);
    conflict.refuses_conflicts = true;
    let mut replay = reception(&mut world, &made, &[mark(2, 1)]);
    replay.guard = guard(true);
    for (refused, reason) in [(conflict, "id_reused"), (replay, "replayed")] {
        let request = refused.request.id;
        let (outcome, ids) = receive(&mut world, refused).await;
        assert_eq!(receipt(outcome).reason, Some(reason));
        assert_eq!(world.read(ids[0]).await, None);
        let row = store
            .request(world.application.key, request)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.verdict, InboundVerdict::Rejected);
        assert_eq!(row.reason.as_deref(), Some(reason));
        assert_eq!(row.message, None);
    }
    let mut flagged = reception(&mut world, &made, &[mark(2, 1)]);
    flagged.guard = guard(false);
    let (outcome, _) = receive(&mut world, flagged).await;
    let seen = receipt(outcome);
    assert_eq!(seen.verdict, InboundVerdict::Accepted);
    assert!(seen.marks.replay_suspected);
}

/// Each message of a request is deduplicated by itself, also within the request and a batch.
pub async fn messages_of_one_request_are_deduplicated_one_by_one(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let many = reception(&mut world, &made, &[mark(1, 1), mark(2, 2), mark(1, 1)]);
    let (outcome, ids) = receive(&mut world, many).await;

    let duplicates: Vec<_> = receipt(outcome)
        .messages
        .iter()
        .map(|one| one.duplicate)
        .collect();
    assert_eq!(duplicates, [false, false, true]);
    assert_eq!(world.read(ids[2]).await, None);

    let mut batch = Vec::new();
    for _ in 0..2 {
        let one = reception(&mut world, &made, &[mark(9, 9)]);
        let message = world.message(&[]);
        let mut publish = world.publish(vec![message]);
        publish.reception = Some(Box::new(one));
        batch.push(publish);
    }
    let outcomes = store.append(batch).await.unwrap().outcomes;
    let verdicts: Vec<_> = outcomes
        .into_iter()
        .map(|one| receipt(one).verdict)
        .collect();
    assert_eq!(
        verdicts,
        [InboundVerdict::Accepted, InboundVerdict::Duplicate]
    );
}

/// A due delivery comes with the request that brought its message, for as long as that is kept;
/// with its body where that is not the message's own.
pub async fn a_due_delivery_comes_with_the_request_of_its_message(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let made = source(&mut world).await;
    let plain = world.send(&[&endpoint]).await;
    let mut ids = vec![(plain, None)];
    let (one, two, three) = (mark(1, 1), mark(2, 2), mark(3, 3));
    let (four, five) = (mark(4, 4), mark(5, 5));
    // Of the last one only the second item is new.
    let cases = [
        (vec![one], true, false),
        (vec![two], false, true),
        (vec![three, four], false, false),
        (vec![one, five], false, true),
    ];
    for (marks, shares_body, whole) in cases {
        let mut received = reception(&mut world, &made, &marks);
        received.shares_body = shares_body;
        let request = received.request.clone();
        let messages: Vec<_> = marks.iter().map(|_| world.message(&[&endpoint])).collect();
        let new = messages.iter().map(|message| message.id);
        let new: Vec<_> = new.skip(usize::from(marks.contains(&five))).collect();
        let mut publish = world.publish(messages);
        publish.reception = Some(Box::new(received));
        receipt(world.append(publish).await);
        let origin = Origin::of(&request, whole);
        ids.extend(new.into_iter().map(|id| (id, Some(origin.clone()))));
    }

    let claimed = world.claim(&endpoint).await.deliveries;

    assert_eq!(claimed.len(), ids.len());
    for (message, origin) in &ids {
        let found = claimed.iter().find(|one| one.message == *message).unwrap();
        assert_eq!(found.origin.as_deref(), origin.as_ref());
    }
    let prune = PruneRequests {
        before: world.after(1),
        now: world.now,
        rows: 100,
    };
    store.prune_requests(prune).await.unwrap();
    let claimed = world.claim(&endpoint).await.deliveries;
    assert!(claimed.iter().all(|one| one.origin.is_none()));
}

/// Requests are listed and filtered, and refused ones are kept with their diagnosis.
pub async fn requests_are_listed_and_filtered(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let taken = reception(&mut world, &made, &[mark(1, 1)]);
    let (_, ids) = receive(&mut world, taken).await;
    let refused = world.new_request(&made, "refused");
    store.note_requests(vec![refused.clone()]).await.unwrap();
    store
        .diagnose_request(refused.id, "so and so")
        .await
        .unwrap();

    let list = async |filter: InboundFilter| {
        let page = PageRequest {
            limit: 10,
            order: Order::Descending,
            cursor: None,
        };
        let found = store.requests(world.application.key, &filter, page).await;
        found.unwrap().items
    };
    let all = list(InboundFilter::default()).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].id, refused.id);
    assert_eq!(all[0].diagnosis.as_deref(), Some("so and so"));
    assert!(all.iter().all(|row| row.body.is_none()));
    for filter in [
        InboundFilter {
            verdict: Some(InboundVerdict::Accepted),
            ..InboundFilter::default()
        },
        InboundFilter {
            message: Some(ids[0]),
            ..InboundFilter::default()
        },
        InboundFilter {
            provider_id: Some("first-1".into()),
            ..InboundFilter::default()
        },
    ] {
        let found = list(filter).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, Some(ids[0]));
    }
    let refused = InboundFilter {
        reason: Some("refused_reason".into()),
        source: Some(made.id),
        ..InboundFilter::default()
    };
    assert_eq!(list(refused).await.len(), 1);
}

/// Requests are searched by where they came from and what is in them, bodies that are kept as the
/// message's included.
pub async fn requests_are_searched(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let taken = reception(&mut world, &made, &[mark(1, 1)]);
    let taken_id = taken.request.id;
    receive(&mut world, taken).await;
    let refused = world.new_request(&made, "refused");
    store.note_requests(vec![refused.clone()]).await.unwrap();
    let search = |set: fn(&mut InboundSearch)| {
        let mut search = InboundSearch::default();
        set(&mut search);
        search
    };
    let both = vec![refused.id, taken_id];

    for (search, found) in [
        (
            search(|it| it.peer = "192.0.2.0/24".parse().ok()),
            both.clone(),
        ),
        (search(|it| it.peer = "192.0.2.2".parse().ok()), vec![]),
        (
            search(|it| it.path = Some("?refu".into())),
            vec![refused.id],
        ),
        (
            search(|it| it.header = Some(("x-name".into(), String::new()))),
            both,
        ),
        (
            search(|it| it.header = Some(("x-name".into(), "fir".into()))),
            vec![taken_id],
        ),
        (
            search(|it| it.body = Some("refused body".into())),
            vec![refused.id],
        ),
        // The body of what was taken is the payload of the message.
        (search(|it| it.body = Some("page".into())), vec![taken_id]),
        (
            search(|it| it.event_type = EventType::parse("content.published").ok()),
            vec![taken_id],
        ),
    ] {
        let filter = InboundFilter {
            search: search.clone(),
            ..InboundFilter::default()
        };
        let page = super::descending(10, None);
        let page = store.requests(world.application.key, &filter, page).await;
        let items = page.unwrap().items;
        let ids: Vec<_> = items.iter().map(|row| row.id).collect();
        assert_eq!(ids, found, "{search:?}");
        assert!(items.iter().all(|row| row.body.is_none()));
    }
}

/// Pruning erases old requests and marks whose time is over, and no others.
pub async fn old_requests_are_erased_and_live_marks_are_kept(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let first = reception(&mut world, &made, &[mark(1, 1)]);
    receive(&mut world, first).await;
    let prune = |world: &World<'_>| PruneRequests {
        before: world.now.plus(Duration::from_millis(1)),
        now: world.now,
        rows: 100,
    };

    let pruned = store.prune_requests(prune(&world)).await.unwrap();

    assert_eq!((pruned.requests, pruned.marks), (1, 0));
    let again = reception(&mut world, &made, &[mark(1, 1)]);
    let (outcome, _) = receive(&mut world, again).await;
    assert_eq!(receipt(outcome).verdict, InboundVerdict::Duplicate);
    world.now = world.now.plus(WINDOW);
    let pruned = store.prune_requests(prune(&world)).await.unwrap();
    assert_eq!((pruned.requests, pruned.marks), (1, 1));
}

/// A request that is stored under a key makes its messages once, duplicate or not.
pub async fn a_request_with_a_known_key_is_stored_once(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let keyed = async |world: &mut World<'_>| {
        let mut received = reception(world, &made, &[mark(1, 1)]);
        received.marks = vec![None];
        let message = world.message(&[]);
        let mut publish = world.publish(vec![message]);
        publish.reception = Some(Box::new(received));
        publish.idempotency = Some(key(1, 1));
        world.append(publish).await
    };

    let first = receipt(keyed(&mut world).await);
    let again = keyed(&mut world).await;

    assert_eq!(first.verdict, InboundVerdict::Accepted);
    assert_eq!(again, PublishOutcome::Replayed(first.messages));
}

/// A job of requests is stepped from outside: what was done is counted, paused or not, and the
/// last step ends it. It is no job of deliveries.
pub async fn a_job_of_requests_counts_what_its_steps_did(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let criteria = RequestCriteria {
        source: Some(made.id),
        verdicts: vec![InboundVerdict::Rejected, InboundVerdict::Accepted],
        reason: Some("a_reason".into()),
        replay: RequestReplay {
            verify: false,
            deduplicate: true,
        },
    };
    let new = job_of_requests(&mut world, criteria.clone());
    let job = store.create_job(new).await.unwrap().into_inner();
    let step = |after, now| RequestStep {
        job: job.key,
        after,
        examined: 4,
        done: 2,
        tally: RequestTally {
            duplicates: 1,
            refused: 1,
        },
        now,
    };

    assert_eq!(job.requests, Some(criteria));
    let running = store.running_jobs(None, 10).await.unwrap();
    assert_eq!(running[0].kind, JobKind::ReplayRequests);
    let found = store.request_job(job.key).await.unwrap().unwrap();
    assert_eq!(found.job, job);
    assert_eq!(found.application, world.application.id);
    let since = job.criteria.since.unwrap();
    assert_eq!(found.after.0, InboundKey::first_at(since).0 - 1);
    let at = InboundKey(found.after.0 + 7);
    let state = store.step_request_job(step(Some(at), world.now)).await;
    assert_eq!(state, Ok(JobState::Running));
    let found = store.request_job(job.key).await.unwrap().unwrap();
    assert_eq!(found.after, at);

    let (organization, now) = (world.organization, world.now);
    let pause = store.change_job(organization, job.id, JobAction::Pause, now);
    pause.await.unwrap();
    assert_eq!(store.request_job(job.key).await, Ok(None));
    let state = store.step_request_job(step(Some(at), now)).await;
    assert_eq!(state, Ok(JobState::Paused));
    let state = store.step_request_job(step(None, now)).await;
    assert_eq!(state, Ok(JobState::Finished));
    let ended = store.job(organization, job.id).await.unwrap().unwrap();
    assert_eq!((ended.examined, ended.done), (12, 6));
    assert_eq!((ended.tally.duplicates, ended.tally.refused), (3, 3));
    assert_eq!((ended.targets, ended.targets_done), (1, 1));
}

fn job_of_requests(world: &mut World<'_>, criteria: RequestCriteria) -> NewJob {
    NewJob {
        id: JobId::from_bits(world.bits()),
        organization: world.organization,
        application: world.application.key,
        kind: JobKind::ReplayRequests,
        endpoints: Vec::new(),
        endpoint: None,
        criteria: JobCriteria {
            since: Some(world.now),
            until: world.after(60),
            event_types: None,
            channel: None,
            tag: None,
            of: Vec::new(),
            status_class: None,
        },
        requests: Some(criteria),
        rate: Some(7),
        jobs_max: 16,
        now: world.now,
        idempotency: None,
    }
}

/// Putting a request in again is told of in the trail.
pub async fn a_replay_of_a_request_is_in_the_trail(store: &dyn Store) {
    let mut world = World::new(store).await;
    let made = source(&mut world).await;
    let request = world.new_request(&made, "refused");
    let replay = RequestReplay {
        verify: false,
        deduplicate: true,
    };

    let noted = store.note_replay(world.application.key, request.id, replay, world.now);
    noted.await.unwrap();

    let all = AuditFilter::default();
    let trail = store.audit(world.organization, &all, everything());
    let newest = trail.await.unwrap().items.pop().unwrap().entry;
    assert_eq!(newest.action, "request.replay");
    assert_eq!(newest.target, request.id.to_string());
    assert_eq!(newest.application, Some(world.application.id));
    let values = newest.values.unwrap();
    assert!(
        values.changes.contains(r#""verify":{"after":false"#),
        "{}",
        values.changes
    );
}

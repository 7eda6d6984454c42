//! Messages, destinations and attempts, as read and listed.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    AttemptId, AttemptStatus, DeliveryState, ErrorClass, EventId, EventType, MessageId, Phases, Tag,
};

use super::world::channel;
use super::{World, ascending, descending, everything};
use crate::{
    AfterAttempt, AttemptFilter, AttemptRecord, Cursor, Endpoint, MessageFilter, MessageRef,
    NewMessage, ROWS_EXAMINED_MAX, Store,
};

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

fn event_type(name: &str) -> EventType {
    EventType::parse(name).unwrap()
}

/// Every field; and not from another application.
pub async fn a_message_is_found_by_id_and_event_id_in_its_application_only(store: &dyn Store) {
    let mut world = World::new(store).await;
    let message = NewMessage {
        channels: vec![channel("blog"), channel("shop")],
        tags: vec![tag("a"), tag("b_c")],
        deliver_at: Some(world.after(60)),
        ..world.event("e-1")
    };
    let id = world.put(message.clone()).await;

    for named in [
        MessageRef::Id(id),
        MessageRef::EventId(EventId::parse("e-1").unwrap()),
    ] {
        let row = store.message(world.application.key, &named).await.unwrap();
        let row = row.unwrap();
        assert_eq!((row.id, &row.event_type), (id, &message.event_type));
        assert_eq!(row.event_id, message.event_id);
        assert_eq!(row.channels, message.channels);
        assert_eq!(row.tags, message.tags);
        assert_eq!((row.at, row.deliver_at), (message.at, message.deliver_at));
        assert_eq!(row.payload.as_ref(), Some(&message.payload));
        let foreign = store.message(domain::ApplicationKey(99), &named).await;
        assert_eq!(foreign, Ok(None));
    }
    let unlike = domain::MessageId::from_bits(id.bits() ^ 1);
    assert!(world.read(unlike).await.is_none(), "another id, same key");
}

/// Pages meet without a gap or an overlap.
pub async fn messages_are_listed_by_time_in_both_directions(store: &dyn Store) {
    let mut world = World::new(store).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.send(&[]).await);
        world.wait(1);
    }
    let list = async |page| {
        let filter = MessageFilter::default();
        let found = store.messages(world.application.key, &filter, page).await;
        let found = found.unwrap();
        let found_ids: Vec<_> = found.items.iter().map(|item| item.id).collect();
        assert!(found.items.iter().all(|item| item.payload.is_none()));
        assert_eq!(found.resume, None);
        (found_ids, found.done)
    };
    let reversed: Vec<_> = ids.iter().rev().copied().collect();

    assert_eq!(list(ascending(5, None)).await, (ids.clone(), true));
    let page = list(descending(2, None)).await;
    assert_eq!(page, (reversed[..2].to_vec(), false));
    let after = Some(Cursor::After(reversed[1].key()));
    let page = list(descending(2, after)).await;
    assert_eq!(page, (reversed[2..4].to_vec(), false));
    let before = Some(Cursor::Before(reversed[2].key()));
    let page = list(descending(2, before)).await;
    assert_eq!(page, (reversed[..2].to_vec(), true));
    let before = Some(Cursor::Before(ids[4].key()));
    let page = list(ascending(3, before)).await;
    assert_eq!(page, (ids[1..4].to_vec(), false));
}

/// By channel, tag, event types and times; with content when asked for.
pub async fn a_list_of_messages_is_filtered(store: &dyn Store) {
    let mut world = World::new(store).await;
    let start = world.now;
    let mut ids = Vec::new();
    for (name, channels, tags) in [
        ("a", vec![channel("x")], vec![]),
        ("b", vec![channel("y"), channel("x")], vec![tag("t")]),
        ("a", vec![], vec![tag("u"), tag("t")]),
        ("c", vec![channel("xx")], vec![tag("tt")]),
    ] {
        world.wait(10);
        let message = NewMessage {
            event_type: event_type(name),
            channels,
            tags,
            ..world.message(&[])
        };
        ids.push(world.put(message).await);
    }
    let list = async |filter: MessageFilter| {
        let application = world.application.key;
        let found = store.messages(application, &filter, everything()).await;
        let found = found.unwrap();
        assert!(found.done);
        let content = |item: &crate::MessageRow| item.payload.is_some();
        assert!(
            found
                .items
                .iter()
                .all(|item| content(item) == filter.with_content)
        );
        let indexes = found
            .items
            .iter()
            .map(|item| ids.iter().position(|id| *id == item.id));
        indexes.collect::<Option<Vec<_>>>().unwrap()
    };
    let any = MessageFilter::default;

    let channel = Some(channel("x"));
    assert_eq!(list(MessageFilter { channel, ..any() }).await, [0, 1]);
    let tag = Some(tag("t"));
    assert_eq!(list(MessageFilter { tag, ..any() }).await, [1, 2]);
    let event_types = Some(vec![event_type("c"), event_type("a")]);
    let by_type = MessageFilter {
        event_types,
        with_content: true,
        ..any()
    };
    assert_eq!(list(by_type).await, [0, 2, 3]);
    let at = |seconds| Some(start.plus(Duration::from_secs(seconds)));
    let between = MessageFilter {
        after: at(10),
        before: at(40),
        ..any()
    };
    assert_eq!(list(between).await, [1, 2], "both ends are excluded");
    let far = MessageFilter {
        before: Some(domain::Timestamp::from_micros(i64::MAX)),
        ..any()
    };
    assert_eq!(list(far).await, [0, 1, 2, 3]);
}

/// A page ends after so many rows, even if it found nothing; the next one goes on there.
pub async fn a_sparse_list_of_messages_says_where_to_resume(store: &dyn Store) {
    let mut world = World::new(store).await;
    let wanted = NewMessage {
        tags: vec![tag("rare")],
        ..world.message(&[])
    };
    let wanted = world.put(wanted).await;
    let mut last = None;
    for _ in 0..=ROWS_EXAMINED_MAX / 1_000 {
        let messages: Vec<_> = (0..1_000).map(|_| world.message(&[])).collect();
        last = messages.last().map(|message| message.id);
        world.append(world.publish(messages)).await;
    }
    let filter = MessageFilter {
        tag: Some(tag("rare")),
        ..MessageFilter::default()
    };
    let list = async |cursor| {
        let page = descending(10, cursor);
        let found = store.messages(world.application.key, &filter, page).await;
        found.unwrap()
    };

    let first = list(None).await;

    assert!(first.items.is_empty());
    assert!(!first.done);
    let resume = first.resume.unwrap();
    assert!(resume < last.unwrap().key());
    let second = list(Some(Cursor::After(resume))).await;
    assert_eq!(second.items.len(), 1);
    assert_eq!(second.items[0].id, wanted);
    assert!(second.done);
    assert_eq!(second.resume, None);
}

/// Delivered ones among them, although nothing is left to do.
pub async fn destinations_of_a_message_are_paged_by_endpoint(store: &dyn Store) {
    let mut world = World::new(store).await;
    let mut endpoints = Vec::new();
    for _ in 0..4 {
        endpoints.push(world.endpoint().await);
    }
    let all: Vec<_> = endpoints.iter().collect();
    let message = world.send(&all).await;
    for index in [0, 2] {
        let then = AfterAttempt::Success;
        world.tried(message, &endpoints[index], 1, then).await;
    }
    let keys: Vec<_> = endpoints.iter().map(|endpoint| endpoint.key).collect();
    let list = async |page| {
        let found = store.message_destinations(message, page).await.unwrap();
        let found_keys: Vec<_> = found.items.iter().map(|row| row.endpoint).collect();
        (found_keys, found.done)
    };

    assert_eq!(list(ascending(4, None)).await, (keys.clone(), true));
    let page = list(ascending(2, Some(Cursor::After(keys[0])))).await;
    assert_eq!(page, (keys[1..3].to_vec(), false));
    let page = list(descending(3, None)).await;
    assert_eq!(page, (vec![keys[3], keys[2], keys[1]], false));
    let page = list(ascending(2, Some(Cursor::Before(keys[3])))).await;
    assert_eq!(page, (keys[1..3].to_vec(), false));
    let rows = world.destinations(message).await;
    let states: Vec<_> = rows.iter().map(|row| row.state).collect();
    let (success, pending) = (DeliveryState::Success, DeliveryState::Pending);
    assert_eq!(states, [success, pending, success, pending]);
    let never = world.message(&[]).id;
    assert!(world.destinations(never).await.is_empty());
}

/// Every field, and by its derived id.
pub async fn an_attempt_reads_back_as_recorded(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let millis = |millis| Some(Duration::from_millis(millis));
    let full = AttemptRecord {
        phases: Phases {
            dns: Some(Duration::ZERO),
            connect: millis(2),
            tls: None,
            first_byte: millis(70_000),
            body: millis(1),
        },
        http_status: None,
        error: Some(ErrorClass::ConnectionReset),
        error_detail: Some("reset by peer".into()),
        response: Bytes::from_static(b"\xff\x00 partial"),
        ..world.attempt(message, &endpoint, 1, AfterAttempt::RetryAt(world.now))
    };
    let bare = AttemptRecord {
        response: Bytes::new(),
        ..world.attempt(message, &endpoint, 2, AfterAttempt::Success)
    };
    let records = [full, bare];
    store.record(records.to_vec()).await.unwrap();

    for record in &records {
        let id = AttemptId::derive(message, endpoint.id, record.number, record.at);
        let row = store.attempt(message, id).await.unwrap().unwrap();
        assert_eq!((row.id, row.message), (id, message));
        assert_eq!(
            (row.endpoint, row.endpoint_key),
            (endpoint.id, endpoint.key)
        );
        assert_eq!((row.number, row.trigger), (record.number, record.trigger));
        assert_eq!((row.at, row.duration), (record.at, record.duration));
        assert_eq!((row.phases, row.status), (record.phases, record.status));
        assert_eq!(
            (row.http_status, row.error),
            (record.http_status, record.error)
        );
        assert_eq!(row.error_detail.as_deref(), record.error_detail.as_deref());
        assert_eq!(
            (row.response, row.url.as_str()),
            (record.response.clone(), endpoint.url.as_str())
        );
    }
    let wrong = AttemptId::derive(message, endpoint.id, 3, world.now);
    assert_eq!(store.attempt(message, wrong).await, Ok(None));
}

/// Whatever endpoint they went to.
pub async fn attempts_of_a_message_are_listed_by_time(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (first, second) = (world.endpoint().await, world.endpoint().await);
    let message = world.send(&[&first, &second]).await;
    let other = world.send(&[&first]).await;
    let retry = AfterAttempt::RetryAt(world.now);
    world.tried(other, &first, 1, retry).await;
    let mut order = Vec::new();
    for (endpoint, number) in [(&second, 1), (&first, 1), (&second, 2), (&first, 2)] {
        world.wait(1);
        world.tried(message, endpoint, number, retry).await;
        order.push((endpoint.key, number));
    }
    let list = async |page| {
        let filter = AttemptFilter::default();
        let found = store.attempts_by_message(message, &filter, page).await;
        let found = found.unwrap();
        let rows = found.items.iter().map(|row| (row.endpoint_key, row.number));
        (rows.collect::<Vec<_>>(), found.done)
    };
    let all = store
        .attempts_by_message(message, &AttemptFilter::default(), everything())
        .await
        .unwrap()
        .items;

    assert_eq!(list(ascending(9, None)).await, (order.clone(), true));
    let after = Some(Cursor::After(all[1].cursor()));
    let page = list(ascending(1, after.clone())).await;
    assert_eq!(page, (order[2..3].to_vec(), false));
    let page = list(descending(9, after)).await;
    assert_eq!(page, (order[..1].to_vec(), true));
    let before = Some(Cursor::Before(all[3].cursor()));
    let page = list(ascending(2, before)).await;
    assert_eq!(page, (order[1..3].to_vec(), false));
}

/// Several of one moment keep one order.
pub async fn attempts_to_an_endpoint_are_listed_by_time(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    let mut order = Vec::new();
    for wait in [0, 0, 5, 0] {
        world.wait(wait);
        let message = world.send(&[&endpoint, &other]).await;
        let then = AfterAttempt::Success;
        world.tried(message, &endpoint, 1, then).await;
        world.tried(message, &other, 1, then).await;
        order.push(message);
    }
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let filter = AttemptFilter::default();
        let page = descending(1, cursor);
        let page = store
            .attempts_by_endpoint(endpoint.key, &filter, page)
            .await;
        let page = page.unwrap();
        found.extend(page.items.iter().map(|row| row.message));
        cursor = page.items.last().map(|row| Cursor::After(row.cursor()));
        if page.done {
            break;
        }
    }
    order.reverse();

    assert_eq!(found, order);
}

/// Four attempts 10 s apart, two of a labelled message (which is returned) and two of a plain one.
async fn four_attempts(world: &mut World<'_>, endpoint: &Endpoint) -> MessageId {
    let labelled = NewMessage {
        channels: vec![channel("x")],
        tags: vec![tag("t")],
        event_type: event_type("special"),
        ..world.message(&[endpoint])
    };
    let labelled = world.put(labelled).await;
    let plain = world.send(&[endpoint]).await;
    for (index, message) in [labelled, labelled, plain, plain].into_iter().enumerate() {
        let number = u16::try_from(index).unwrap() + 1;
        let then = AfterAttempt::RetryAt(world.now);
        let record = AttemptRecord {
            http_status: [None, Some(404), Some(503), Some(204)][index],
            status: [AttemptStatus::Fail, AttemptStatus::Success][index / 3],
            ..world.attempt(message, endpoint, number, then)
        };
        world.record(record).await;
        world.wait(10);
    }
    labelled
}

/// By status, class, labels of the message, endpoint and times.
pub async fn a_list_of_attempts_is_filtered(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    let start = world.now;
    let labelled = four_attempts(&mut world, &endpoint).await;
    world
        .tried(labelled, &other, 1, AfterAttempt::Success)
        .await;
    let list = async |filter: AttemptFilter| {
        let found = store
            .attempts_by_endpoint(endpoint.key, &filter, everything())
            .await;
        let numbers = found.unwrap().items.into_iter().map(|row| row.number);
        numbers.collect::<Vec<_>>()
    };
    let any = AttemptFilter::default;
    let at = |seconds| Some(start.plus(Duration::from_secs(seconds)));

    let status = Some(AttemptStatus::Success);
    assert_eq!(list(AttemptFilter { status, ..any() }).await, [4]);
    for (class, expected) in [(0, 1), (400, 2), (500, 3), (200, 4)] {
        let status_class = Some(class);
        let found = list(AttemptFilter {
            status_class,
            ..any()
        })
        .await;
        assert_eq!(found, [expected], "class {class}");
    }
    let channel = Some(channel("x"));
    assert_eq!(list(AttemptFilter { channel, ..any() }).await, [1, 2]);
    let tag = Some(tag("t"));
    assert_eq!(list(AttemptFilter { tag, ..any() }).await, [1, 2]);
    let event_types = Some(vec![event_type("special")]);
    assert_eq!(
        list(AttemptFilter {
            event_types,
            ..any()
        })
        .await,
        [1, 2]
    );
    let (after, before) = (at(0), at(30));
    let between = list(AttemptFilter {
        before,
        after,
        ..any()
    })
    .await;
    assert_eq!(between, [2, 3], "both ends are excluded");
    let to_other = AttemptFilter {
        endpoint: Some(other.key),
        ..any()
    };
    let found = store
        .attempts_by_message(labelled, &to_other, everything())
        .await;
    assert_eq!(found.unwrap().items.len(), 1);
}

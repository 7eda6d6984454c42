//! What an endpoint sets for itself: its schedule, its timeout, its concurrency.

use std::time::Duration;

use domain::{RetrySchedule, Tuning};
use store::{ApplicationChange, ApplicationRef, Endpoint, EndpointChange, EndpointRef};

use super::harness::{Reply, World};

const URL: &str = "https://receiver.example/hook";
const SECOND: Duration = Duration::from_secs(1);

async fn endpoint(world: &World, tuning: Tuning) -> Endpoint {
    let mut new = world.new_endpoint(URL);
    new.tuning = tuning;
    world.create(new).await
}

async fn tune(world: &World, endpoint: &Endpoint, tuning: Tuning) {
    let change = EndpointChange {
        tuning: Some(tuning),
        now: world.now(),
        ..EndpointChange::default()
    };
    let named = EndpointRef::Id(endpoint.id);
    let update = world
        .store
        .update_endpoint(endpoint.application, &named, change);
    update.await.expect("changed");
    let engine = &world.running().engine;
    engine.changed(endpoint.application, Some(endpoint.key));
}

fn schedule(seconds: &[u64]) -> Tuning {
    let waits = seconds.iter().copied().map(Duration::from_secs).collect();
    Tuning {
        retry_schedule: Some(RetrySchedule::new(waits).expect("valid")),
        ..Tuning::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_tried_by_its_own_schedule() {
    let world = World::new().await;
    endpoint(&world, schedule(&[0, 60, 600])).await;
    world.network.always(URL, Reply::Status(500));

    world.publish("{}").await;
    world.pass(Duration::from_hours(100)).await;

    let seen = world.network.seen();
    let waits: Vec<_> = seen
        .windows(2)
        .map(|pair| (pair[1].at.saturating_sub(pair[0].at)).as_secs())
        .collect();
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert!(
        (60..=73).contains(&waits[0]) && (600..=721).contains(&waits[1]),
        "{waits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_was_changed_holds_from_the_next_failure_on() {
    let world = World::new().await;
    let endpoint = endpoint(&world, schedule(&[0, 1, 3_600])).await;
    world.network.always(URL, Reply::Status(500));
    world.publish("{}").await;
    world.settle().await;

    tune(&world, &endpoint, schedule(&[0, 1, 10])).await;
    world.pass(20 * SECOND).await;

    assert_eq!(world.network.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_takes_no_longer_than_the_endpoints_own_timeout() {
    let world = World::new().await;
    let tuning = Tuning {
        timeout: Some(3 * SECOND),
        ..schedule(&[0, 1])
    };
    endpoint(&world, tuning).await;
    world.network.always(URL, Reply::Hang);

    world.publish("{}").await;
    world.pass(Duration::from_millis(7_500)).await;

    let seen = world.network.seen();
    assert_eq!(seen.len(), 2);
    let between = seen[1].at.saturating_sub(seen[0].at);
    assert!(between >= 4 * SECOND && between < 5 * SECOND, "{between:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_are_in_flight_than_an_endpoint_allows_and_a_change_counts_at_once() {
    let world = World::new().await;
    let most = |concurrency| Tuning {
        concurrency: Some(concurrency),
        ..Tuning::default()
    };
    let endpoint = endpoint(&world, most(2)).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));

    world.publish_many(20).await;
    world.pass(3 * SECOND).await;
    assert_eq!(world.network.most_in_flight(URL), 2);
    tune(&world, &endpoint, most(5)).await;
    world.pass(Duration::from_millis(1_500)).await;

    assert_eq!(world.network.most_in_flight(URL), 5);
}

#[tokio::test(start_paused = true)]
async fn no_second_sees_more_than_the_applications_rate_over_all_endpoints() {
    let world = World::new().await;
    for number in 0..5 {
        let url = format!("https://receiver.example/{number}");
        world.endpoint(&url).await;
    }
    let limit = async |rate| {
        let change = ApplicationChange {
            throttle_rate: Some(rate),
            now: world.now(),
            ..ApplicationChange::default()
        };
        let named = ApplicationRef::Id(world.application.id);
        let update = world
            .store
            .update_application(world.organization, &named, change);
        update.await.expect("changed");
        world.running().engine.changed(world.application.key, None);
        world.settle().await;
    };

    limit(Some(20)).await;
    world.publish_many(40).await;
    world.pass(5 * SECOND).await;

    let seen = world.network.seen();
    for (index, first) in seen.iter().enumerate() {
        let within = seen[index..]
            .iter()
            .take_while(|one| one.at < first.at + SECOND);
        assert!(within.count() <= 20, "from {:?}", first.at);
    }
    assert!(seen.len() >= 95, "{} in five seconds", seen.len());
    limit(None).await;
    world.pass(SECOND).await;
    assert_eq!(
        world.network.seen().len(),
        200,
        "the limit is lifted within a second"
    );
}

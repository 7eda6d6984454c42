//! Endpoints that ask for event types by pattern get exactly those.

use std::time::Duration;

use domain::{EventType, EventTypeFilter};

use super::harness::World;
use crate::EngineConfig;

const NAMES: [&str; 7] = ["a", "b", "a.b", "a.c", "b.b", "a.b.c", "a.b.c.d"];

fn url(number: usize) -> String {
    format!("https://receiver.example/{number}")
}

async fn endpoint(world: &World, number: usize, filters: &[&str]) {
    let mut new = world.new_endpoint(&url(number));
    let parse = |text: &&str| EventTypeFilter::parse(text).expect("a filter");
    new.subscription.event_types = Some(filters.iter().map(parse).collect());
    world.create(new).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_what_one_of_its_filters_matches_once() {
    let world = World::with(EngineConfig::default()).await;
    let endpoints: [(&[&str], &[&str]); 7] = [
        (&["a.b"], &["a.b"]),
        (&["a.*"], &["a.b", "a.c"]),
        (&["a.**"], &["a.b", "a.c", "a.b.c", "a.b.c.d"]),
        (&["*.b"], &["a.b", "b.b"]),
        (&["**"], &NAMES),
        (
            &["a.b", "*.b", "a.*", "a.b.**"],
            &["a.b", "a.c", "b.b", "a.b.c", "a.b.c.d"],
        ),
        (&["c.*", "*.*.b"], &[]),
    ];
    for (number, (filters, _)) in endpoints.iter().enumerate() {
        endpoint(&world, number, filters).await;
    }

    for name in NAMES {
        let mut request = world.request([format!("\"{name}\"")]);
        request.messages[0].event_type = EventType::parse(name).expect("an event type");
        let engine = &world.running().engine;
        engine.publish(request).await.expect("published");
        world.pass(Duration::from_secs(1)).await;
    }

    for (number, (filters, expected)) in endpoints.iter().enumerate() {
        let seen = world.network.seen_by(&url(number));
        let mut got: Vec<String> = seen
            .iter()
            .map(|request| String::from_utf8_lossy(&request.body).replace('"', ""))
            .collect();
        got.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(got, expected, "{filters:?}");
    }
}

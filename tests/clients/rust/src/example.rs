//! An example of an event type, made from its schema.

use serde_json::json;
use svix::models::EventExampleIn;

use crate::check::{World, ok};
use crate::event_type::{event_type, schema};

pub async fn run(world: &World) {
    let (api, name) = (world.svix.event_type(), format!("{}.shipped", world.app()));
    let mut shipped = event_type(&name, "A shipment left");
    shipped.schemas = Some(json!({"1": schema()}));
    api.create(shipped, None).await.expect("it is created");
    let example = world.endpoint(world.endpoint_in("/example")).await;
    world.endpoint(world.endpoint_in("/other")).await;
    let wanted = EventExampleIn::new(name.clone());
    let sent = world.svix.endpoint();
    let sent = sent
        .send_example(world.app(), example.id.clone(), wanted, None)
        .await;
    let sent = sent.expect("an example");
    assert_eq!(
        (sent.event_type, sent.payload),
        (name, json!({"id": "shp_1"}))
    );
    assert_eq!(world.attempts(&sent.id, 1).await[0].endpoint_id, example.id);
    ok("an example is sent");
}

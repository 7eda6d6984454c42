//! What an event type's schema is good for: examples of it, and coming from a description.

use serde_json::json;
use svix::models::{EventExampleIn, EventTypeImportOpenApiIn};

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

    let name = format!("{}.imported", world.app());
    let content = json!({"application/json": {"schema": schema()}});
    let post = json!({"description": "Imported", "requestBody": {"content": content}});
    let webhooks = json!({ name.clone(): {"post": post} });
    let info = json!({"title": "Events", "version": "1"});
    let mut import = EventTypeImportOpenApiIn::new();
    import.spec = Some(json!({"openapi": "3.1.0", "info": info, "webhooks": webhooks}));
    let answer = api.import_openapi(import, None).await.expect("an import");
    assert_eq!(answer.data.modified, std::slice::from_ref(&name));
    assert!(api.get(name).await.expect("it is there").schemas.is_some());
    ok("event types are imported");
}

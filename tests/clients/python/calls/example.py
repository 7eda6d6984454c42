"""What an event type's schema is good for: examples of it, and coming from a description."""

from svix.api import EventExampleIn, EventTypeDeleteOptions, EventTypeImportOpenApiIn, EventTypeIn

from check import holds, ok, refused, same

SCHEMA = {
    "type": "object",
    "title": "A shipment",
    "required": ["id"],
    "properties": {"id": {"type": "string"}},
    "examples": [{"id": "shp_1"}],
}
EXPUNGE = EventTypeDeleteOptions(expunge=True)


def run(world):
    api, name = world.svix.event_type, f"{world.app}.shipped"
    api.create(EventTypeIn(name=name, description="A shipment left", schemas={"1": SCHEMA}))
    example = world.endpoint("/example", uid="example")
    world.endpoint("/other")
    sent = world.svix.endpoint.send_example(world.app, "example", EventExampleIn(event_type=name))
    same(sent.event_type, name, "an example's event type")
    same(sent.payload, {"id": "shp_1"}, "an example's payload")
    attempts = world.attempts(sent.id, 1)
    same([a.endpoint_id for a in attempts], [example.id], "an example goes to one endpoint")
    api.delete(name, EXPUNGE)
    ok("an example is sent")

    name = f"{world.app}.imported"
    schema = {"application/json": {"schema": SCHEMA}}
    post = {"description": "Imported", "requestBody": {"content": schema}}
    spec = {
        "openapi": "3.1.0",
        "info": {"title": "Events", "version": "1"},
        "webhooks": {name: {"post": post}},
    }
    api.import_openapi(EventTypeImportOpenApiIn(spec=spec, dry_run=True))
    refused(lambda: api.get(name), 404, "a dry run makes nothing")
    answer = api.import_openapi(EventTypeImportOpenApiIn(spec=spec))
    same(answer.data.modified, [name], "what an import has made")
    holds(api.get(name).schemas, "an imported event type has its schema")
    api.delete(name, EXPUNGE)
    ok("event types are imported")

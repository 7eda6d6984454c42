"""An example of an event type, made from its schema."""

from svix.api import EventExampleIn, EventTypeDeleteOptions, EventTypeIn

from check import ok, same

SCHEMA = {
    "type": "object",
    "title": "A shipment",
    "required": ["id"],
    "properties": {"id": {"type": "string"}},
    "examples": [{"id": "shp_1"}],
}


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
    api.delete(name, EventTypeDeleteOptions(expunge=True))
    ok("an example is sent")

"""An example of an event type, made from its schema."""

from svix.api import EventExampleIn, EventTypeDeleteOptions, EventTypeIn, MessagePrecheckIn

from check import invalid, ok, same

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
    second = EventExampleIn(event_type=name, example_index=1)
    invalid(
        lambda: world.svix.endpoint.send_example(world.app, "example", second),
        "exampleIndex",
        "an example that is not there is 422",
    )
    same(sent.event_type, name, "an example's event type")
    same(sent.payload, {"id": "shp_1"}, "an example's payload")
    attempts = world.attempts(sent.id, 1)
    stats = world.svix.endpoint.get_attempt_stats(world.app, "example")
    same(stats.success, 1, "how the endpoint fared")
    active = lambda kind: world.svix.message.precheck(world.app, MessagePrecheckIn(event_type=kind))
    same(active(name).active, True, "a message would go somewhere")
    same([a.endpoint_id for a in attempts], [example.id], "an example goes to one endpoint")
    api.delete(name, EventTypeDeleteOptions(expunge=True))
    ok("an example is sent")

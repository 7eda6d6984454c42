from datetime import timedelta

from svix.api import (
    MessageCreateOptions,
    MessageGetOptions,
    MessageIn,
    MessageListOptions,
)
from svix.models import ApplicationIn

from check import all_pages, ids, invalid, holds, ok, refused, same


def run(world):
    api, app = world.svix.message, world.app
    paid = world.publish("invoice.paid", event_id="evt-1", tags=["red"], channels=["eu"])
    holds(paid.id.startswith("msg_"), "a message has an id of its kind")
    same((paid.event_id, paid.event_type), ("evt-1", "invoice.paid"), "a message")
    same((paid.tags, paid.channels), (["red"], ["eu"]), "its tags and channels")
    same(paid.payload, {"number": 1}, "the payload when asked for")
    rest = [world.publish("invoice.created", number).id for number in range(2, 6)]
    ok("messages are published")

    refused(
        lambda: world.publish("invoice.paid", event_id="evt-1"),
        409,
        "a second message with the same event id is 409",
    )
    invalid(
        lambda: world.publish("no spaces here"), "eventType", "a bad event type is 422 and named"
    )
    refused(
        lambda: api.create("nowhere", MessageIn(event_type="a", payload={})),
        404,
        "publishing to nobody is 404",
    )
    same(api.get(app, "evt-1").id, paid.id, "a message by its event id")
    same(api.get(app, paid.id).payload, {}, "no payload unless asked for")
    full = api.get(app, paid.id, MessageGetOptions(with_content=True))
    same(full.payload, {"number": 1}, "the payload of a message read again")
    refused(lambda: api.get(app, "msg_nowhere"), 404, "an unknown message is 404")
    lists(world, paid, [*reversed(rest), paid.id])
    keys(world)
    upserts(world)


def lists(world, paid, newest_first):
    api, app = world.svix.message, world.app

    def listed(**options):
        return ids(
            all_pages(lambda at: api.list(app, MessageListOptions(limit=2, iterator=at, **options)))
        )

    same(listed(), newest_first, "all messages, newest first, over several pages")
    same(listed(event_types=["invoice.paid"]), [paid.id], "messages of one type")
    both = ["invoice.paid", "invoice.created"]
    same(listed(event_types=both), newest_first, "messages of two types")
    same(listed(tag="red"), [paid.id], "messages with a tag")
    same(listed(channel="eu"), [paid.id], "messages of a channel")
    later = paid.timestamp + timedelta(microseconds=1)
    same(listed(after=later), newest_first[:-1], "messages after a time")
    same(listed(before=later), [paid.id], "messages before a time")
    with_content = api.list(app, MessageListOptions(with_content=True)).data[-1]
    same(with_content.payload, {"number": 1}, "a list with payloads")
    ok("messages are read and listed with an iterator and filters")


def keys(world):
    api, app = world.svix.message, world.app
    again = MessageCreateOptions(idempotency_key=f"key-{app}")
    body = MessageIn(event_type="invoice.created", payload={"number": 6})
    first = api.create(app, body, again)
    same(api.create(app, body, again).id, first.id, "the same key")
    other = MessageIn(event_type="invoice.created", payload={"number": 7})
    refused(
        lambda: api.create(app, other, again), 409, "the same key for another message is 409"
    )
    ok("the same idempotency key makes one message")


def upserts(world):
    uid = f"{world.app}-late"
    body = MessageIn(
        event_type="invoice.created",
        payload={},
        application=ApplicationIn(name="Made on the way", uid=uid),
    )
    message = world.svix.message.create(uid, body)
    holds(message.id.startswith("msg_"), "a message to an application that came with it")
    same(world.svix.application.get(uid).name, "Made on the way", "the application that came")
    world.svix.application.delete(uid)
    ok("an application is made on the way")

from svix.api import (
    MessageAttemptListAttemptedDestinationsOptions,
    MessageAttemptListAttemptedMessagesOptions,
    MessageAttemptListByEndpointOptions,
    MessageAttemptListByMsgOptions,
)

from check import FAIL, PENDING, SUCCESS, all_pages, eventually, holds, ids, ok, refused, same


def run(world):
    everything = world.endpoint("/all", uid="everything")
    paid_only = world.endpoint("/paid", event_types=["invoice.paid"])
    paid = world.publish("invoice.paid", tags=["red"], channels=["eu"])
    created = world.publish("invoice.created")
    attempts = world.attempts(paid.id, 2)
    same(
        {attempt.endpoint_id for attempt in attempts},
        {everything.id, paid_only.id},
        "both endpoints got what both asked for",
    )
    for attempt in attempts:
        same((attempt.status, attempt.response_status_code), (SUCCESS, 200), "an attempt")
        same(attempt.msg_id, paid.id, "the message of an attempt")
        same(attempt.trigger_type, 0, "an attempt of the schedule")
    only = world.attempts(created.id, 1)
    same([a.endpoint_id for a in only], [everything.id], "the filter held the other back")
    ok("each message reached the endpoints that asked for it")

    lists(world, paid, paid_only, attempts)
    failures(world)
    resends(world, paid, paid_only)


def lists(world, paid, paid_only, attempts):
    api, app = world.svix.message_attempt, world.app
    attempt = api.get(app, paid.id, attempts[0].id)
    same((attempt.id, attempt.url), (attempts[0].id, attempts[0].url), "an attempt by id")
    refused(
        lambda: api.get(app, paid.id, "atmpt_nowhere"), 404, "an unknown attempt is 404"
    )

    def by_message(**options):
        options = {"limit": 1, **options}
        return set(
            ids(
                all_pages(
                    lambda at: api.list_by_msg(
                        app, paid.id, MessageAttemptListByMsgOptions(iterator=at, **options)
                    )
                )
            )
        )

    both = set(ids(attempts))
    same(by_message(), both, "attempts of a message, page by page")
    one = next(a for a in attempts if a.endpoint_id == paid_only.id)
    same(by_message(endpoint_id=paid_only.id), {one.id}, "attempts at one endpoint")
    for options, expected in [
        ({"status": SUCCESS}, both),
        ({"status": FAIL}, set()),
        ({"status_code_class": 200}, both),
        ({"status_code_class": 500}, set()),
        ({"tag": "red"}, both),
        ({"tag": "blue"}, set()),
        ({"channel": "eu"}, both),
        ({"channel": "us"}, set()),
        ({"event_types": ["invoice.paid"]}, both),
        ({"event_types": ["invoice.created"]}, set()),
        ({"after": paid.timestamp}, both),
        ({"before": paid.timestamp}, set()),
    ]:
        same(by_message(**options), expected, f"attempts of a message with {options}")

    def by_endpoint(**options):
        found = api.list_by_endpoint(
            app, paid_only.id, MessageAttemptListByEndpointOptions(**options)
        )
        return [item.msg_id for item in found.data]

    for options, expected in [
        ({}, [paid.id]),
        ({"status": FAIL}, []),
        ({"status_code_class": 200}, [paid.id]),
        ({"tag": "red", "channel": "eu"}, [paid.id]),
        ({"event_types": ["invoice.created"]}, []),
        ({"before": paid.timestamp}, []),
    ]:
        same(by_endpoint(**options), expected, f"attempts of an endpoint with {options}")
    with_msg = api.list_by_endpoint(
        app, paid_only.id, MessageAttemptListByEndpointOptions(with_msg=True)
    )
    same(with_msg.data[0].msg.id, paid.id, "an attempt with its message")
    destinations = all_pages(
        lambda at: api.list_attempted_destinations(
            app,
            paid.id,
            MessageAttemptListAttemptedDestinationsOptions(limit=1, iterator=at),
        )
    )
    same(
        {(item.id, item.status) for item in destinations},
        {(item.endpoint_id, SUCCESS) for item in attempts},
        "destinations of a message",
    )
    messages = api.list_attempted_messages(
        app, paid_only.id, MessageAttemptListAttemptedMessagesOptions(status=SUCCESS)
    )
    same([(m.id, m.status) for m in messages.data], [(paid.id, SUCCESS)], "its messages")
    ok("attempts are listed by message and by endpoint, with every filter")


def failures(world):
    api, app = world.svix.message_attempt, world.app
    broken = world.endpoint("/status/500", event_types=["invoice.broken"])
    message = world.publish("invoice.broken").id

    def look():
        return api.list_by_endpoint(app, broken.id).data or None

    attempt = eventually(look, "an attempt that fails")[0]
    same((attempt.status, attempt.response_status_code), (FAIL, 500), "a failed attempt")
    only = MessageAttemptListByEndpointOptions(status_code_class=500)
    holds(api.list_by_endpoint(app, broken.id, only).data, "it is of the class 500")

    def waiting():
        items = api.list_attempted_destinations(app, message).data
        found = [item for item in items if item.id == broken.id]
        return found[0] if found and found[0].status == PENDING else None

    delivery = eventually(waiting, "a delivery that waits for its next attempt")
    holds(delivery.next_attempt is not None, "it says when")
    ok("a failed attempt is shown, and its delivery waits for the next")


def resends(world, paid, paid_only):
    api, app = world.svix.message_attempt, world.app
    api.resend(app, paid.id, paid_only.id)
    by_hand = [a for a in world.attempts(paid.id, 3) if a.trigger_type == 1]
    same([a.endpoint_id for a in by_hand], [paid_only.id], "the attempt made by hand")
    refused(
        lambda: api.resend(app, paid.id, "ep_nowhere"), 404, "resending to nobody is 404"
    )
    ok("a message is resent")

"""Walks through the sending API with the official Python client.

Usage: spine.py URL TOKEN RECEIVER

RECEIVER is the base URL of a receiver that answers 200, and 500 below /status/500.
"""

import sys
import time
import uuid

from svix.api import (
    ApplicationIn,
    ApplicationListOptions,
    ApplicationPatch,
    EndpointIn,
    EndpointListOptions,
    EndpointPatch,
    EndpointSecretRotateIn,
    EndpointUpsertIn,
    MessageAttemptListByMsgOptions,
    MessageCreateOptions,
    MessageGetOptions,
    MessageIn,
    MessageListOptions,
    Svix,
    SvixOptions,
)
from svix.exceptions import HTTPValidationError, HttpError

SUCCESS, PENDING, FAIL, SENDING = 0, 1, 2, 3
PATIENCE = 15.0  # Seconds; deliveries take milliseconds on a machine that is not overloaded.


def ok(what):
    print(f"ok {what}", flush=True)


def same(found, expected, what):
    if found != expected:
        sys.exit(f"not ok {what}: found {found!r}, expected {expected!r}")


def holds(condition, what):
    if not condition:
        sys.exit(f"not ok {what}")


def refused(call, status, what):
    """The call fails with this status and an error of the shape that clients parse."""
    try:
        call()
    except HttpError as error:
        same(error.status_code, status, what)
        holds(isinstance(error.code, str) and error.code, f"{what}: has a code")
        holds(isinstance(error.detail, str) and error.detail, f"{what}: has a detail")
        return ok(what)
    sys.exit(f"not ok {what}: it was not refused")


def invalid(call, field, what):
    """The call fails with 422 and names the field."""
    try:
        call()
    except HTTPValidationError as error:
        same(error.status_code, 422, what)
        for item in error.detail:
            holds(all(isinstance(part, str) for part in item.loc), f"{what}: loc has only strings")
            holds(isinstance(item.msg, str) and item.msg, f"{what}: has a message")
            holds(isinstance(item.type, str) and item.type, f"{what}: has a type")
        holds(any(field in item.loc for item in error.detail), f"{what}: names {field}")
        return ok(what)
    sys.exit(f"not ok {what}: it was not refused")


def all_pages(fetch):
    """Everything of a list, page by page, as a program of a user's would read it."""
    found, iterator = [], None
    for _ in range(100):
        page = fetch(iterator)
        found.extend(page.data)
        if page.done:
            return found
        holds(page.iterator, "a page that is not the last has an iterator")
        iterator = page.iterator
    sys.exit("not ok a list ends")


def eventually(look, what):
    """Asks until the answer is not None."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    sys.exit(f"not ok {what}: not within {PATIENCE} s")


class Spine:
    def __init__(self, url, token, receiver):
        self.url = url
        # Without retries, so that a 500 is seen as one.
        options = SvixOptions(server_url=url, retry_schedule=[])
        self.svix = Svix(token, options)
        self.receiver = receiver.rstrip("/")
        self.app = f"py-{uuid.uuid4().hex[:12]}"

    def run(self):
        self.tokens()
        self.applications()
        self.endpoints()
        self.secrets()
        self.messages()
        self.deliveries()
        self.failures()
        self.deletion()

    def tokens(self):
        stranger = Svix("not-a-key", SvixOptions(server_url=self.url, retry_schedule=[]))
        refused(lambda: stranger.application.list(), 401, "a token that is no key is 401")

    def applications(self):
        api = self.svix.application
        created = api.create(ApplicationIn(name="First", uid=self.app, metadata={"a": "1"}))
        holds(created.id.startswith("app_"), "an application has an id of its kind")
        same((created.name, created.uid), ("First", self.app), "an application as created")
        same(created.metadata, {"a": "1"}, "metadata as given")
        same(api.get(self.app).id, created.id, "an application by its uid")
        same(api.get(created.id).uid, self.app, "an application by its id")
        ok("an application is created and found by id and uid")

        refused(
            lambda: api.create(ApplicationIn(name="Second", uid=self.app)),
            409,
            "a second application with the same uid is 409",
        )
        again = api.get_or_create(ApplicationIn(name="Other", uid=self.app))
        same((again.id, again.name), (created.id, "First"), "get_or_create finds the first")
        ok("get_or_create answers with what is there")
        refused(lambda: api.get("app_nowhere"), 404, "an unknown application is 404")
        refused(lambda: api.get(f"{self.app}-not"), 404, "an unknown uid is 404")
        invalid(
            lambda: api.create(ApplicationIn(name="x", uid="no spaces here")),
            "uid",
            "a bad uid is 422 and named",
        )

        same(api.patch(self.app, ApplicationPatch(name="Patched")).name, "Patched", "a patch")
        upserted = api.upsert(self.app, ApplicationIn(name="Updated", uid=self.app))
        same((upserted.id, upserted.name), (created.id, "Updated"), "an update")
        ids = [
            item.id
            for item in all_pages(
                lambda at: api.list(ApplicationListOptions(limit=1, iterator=at))
            )
        ]
        same(len(ids), len(set(ids)), "the list repeats no application")
        holds(created.id in ids, "the list has the application")
        ok("applications are patched, updated and listed page by page")

    def endpoints(self):
        api = self.svix.endpoint
        everything = api.create(
            self.app,
            EndpointIn(url=f"{self.receiver}/all", uid="all", description="takes everything"),
        )
        holds(everything.id.startswith("ep_"), "an endpoint has an id of its kind")
        same(everything.event_types, None, "an endpoint without a filter")
        filtered = api.create(
            self.app, EndpointIn(url=f"{self.receiver}/paid", event_types=["invoice.paid"])
        )
        same(filtered.event_types, ["invoice.paid"], "an endpoint with a filter")
        same(api.get(self.app, "all").id, everything.id, "an endpoint by its uid")
        self.everything, self.filtered = everything.id, filtered.id
        ok("two endpoints are created, one of them filtered")

        refused(
            lambda: api.create(self.app, EndpointIn(url=f"{self.receiver}/b", uid="all")),
            409,
            "a second endpoint with the same uid is 409",
        )
        refused(lambda: api.get(self.app, "ep_nowhere"), 404, "an unknown endpoint is 404")
        invalid(
            lambda: api.create(self.app, EndpointIn(url="not a url")),
            "url",
            "a bad URL is 422 and named",
        )

        patched = api.patch(self.app, "all", EndpointPatch(description="patched"))
        same((patched.description, patched.url), ("patched", everything.url), "a patch")
        updated = api.upsert(
            self.app,
            self.filtered,
            EndpointUpsertIn(
                url=f"{self.receiver}/paid", description="updated", event_types=["invoice.paid"]
            ),
        )
        same((updated.id, updated.description), (self.filtered, "updated"), "an update")
        pages = all_pages(
            lambda at: api.list(self.app, EndpointListOptions(limit=1, iterator=at))
        )
        same({item.id for item in pages}, {self.everything, self.filtered}, "listed endpoints")
        ok("endpoints are patched, updated and listed page by page")

    def secrets(self):
        api = self.svix.endpoint
        first = api.get_secret(self.app, "all").key
        holds(first.startswith("whsec_"), "a secret has its prefix")
        same(api.get_secret(self.app, "all").key, first, "a secret stays")
        second = api.rotate_secret(self.app, "all", EndpointSecretRotateIn()).key
        holds(second.startswith("whsec_") and second != first, "rotating makes another secret")
        same(api.get_secret(self.app, "all").key, second, "the new secret is the endpoint's")
        chosen = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        rotated = api.rotate_secret(self.app, "all", EndpointSecretRotateIn(key=chosen))
        same(rotated.key, chosen, "rotating to a chosen secret")
        same(api.get_secret(self.app, "all").key, chosen, "the chosen secret is the endpoint's")
        ok("a secret is read and rotated, to a made and to a chosen one")

    def publish(self, event_type, number, **rest):
        return self.svix.message.create(
            self.app,
            MessageIn(event_type=event_type, payload={"number": number}, **rest),
            MessageCreateOptions(with_content=True),
        )

    def messages(self):
        api = self.svix.message
        paid = self.publish("invoice.paid", 1, event_id="evt-1", tags=["red"])
        holds(paid.id.startswith("msg_"), "a message has an id of its kind")
        same((paid.event_id, paid.event_type), ("evt-1", "invoice.paid"), "a message")
        same(paid.payload, {"number": 1}, "the payload when asked for")
        self.paid = paid.id
        self.created = self.publish("invoice.created", 2).id
        rest = [self.publish("invoice.created", n).id for n in range(3, 6)]
        ok("messages are published")

        refused(
            lambda: self.publish("invoice.paid", 9, event_id="evt-1"),
            409,
            "a second message with the same event id is 409",
        )
        invalid(
            lambda: self.publish("no spaces here", 1),
            "eventType",
            "a bad event type is 422 and named",
        )
        same(api.get(self.app, "evt-1").id, paid.id, "a message by its event id")
        same(api.get(self.app, paid.id).payload, {}, "no payload unless asked for")
        full = api.get(self.app, paid.id, MessageGetOptions(with_content=True))
        same(full.payload, {"number": 1}, "the payload of a message read again")
        refused(lambda: api.get(self.app, "msg_nowhere"), 404, "an unknown message is 404")

        def ids(**options):
            return [
                item.id
                for item in all_pages(
                    lambda at: api.list(
                        self.app, MessageListOptions(limit=2, iterator=at, **options)
                    )
                )
            ]

        newest_first = [*reversed(rest), self.created, paid.id]
        same(ids(), newest_first, "all messages, newest first, over several pages")
        same(ids(event_types=["invoice.paid"]), [paid.id], "messages of one type")
        same(
            ids(event_types=["invoice.paid", "invoice.created"]),
            newest_first,
            "messages of two types",
        )
        same(ids(tag="red"), [paid.id], "messages with a tag")
        ok("messages are read and listed with an iterator and filters")

        again = MessageCreateOptions(idempotency_key=f"key-{self.app}")
        body = MessageIn(event_type="invoice.created", payload={"number": 6})
        first = api.create(self.app, body, again)
        same(api.create(self.app, body, again).id, first.id, "the same key")
        ok("the same idempotency key makes one message")

    def attempts_of(self, message, count):
        """The attempts of a message, once there are that many."""

        def look():
            data = self.svix.message_attempt.list_by_msg(self.app, message).data
            return data if len(data) >= count else None

        return eventually(look, f"{count} attempts of {message}")

    def deliveries(self):
        api = self.svix.message_attempt
        attempts = self.attempts_of(self.paid, 2)
        same(
            {attempt.endpoint_id for attempt in attempts},
            {self.everything, self.filtered},
            "both endpoints got what both asked for",
        )
        for attempt in attempts:
            same((attempt.status, attempt.response_status_code), (SUCCESS, 200), "an attempt")
            same(attempt.msg_id, self.paid, "the message of an attempt")
            same(attempt.trigger_type, 0, "an attempt of the schedule")
        only = self.attempts_of(self.created, 1)
        same([a.endpoint_id for a in only], [self.everything], "the filter held the other back")
        ok("each message reached the endpoints that asked for it")

        attempt = api.get(self.app, self.paid, attempts[0].id)
        same((attempt.id, attempt.url), (attempts[0].id, attempts[0].url), "an attempt by id")
        refused(
            lambda: api.get(self.app, self.paid, "atmpt_nowhere"),
            404,
            "an unknown attempt is 404",
        )
        listed = api.list_by_endpoint(self.app, self.filtered).data
        same([a.msg_id for a in listed], [self.paid], "attempts of an endpoint")
        failed = MessageAttemptListByMsgOptions(status=FAIL)
        same(api.list_by_msg(self.app, self.paid, failed).data, [], "failed attempts")
        destinations = api.list_attempted_destinations(self.app, self.paid).data
        same(
            {(item.id, item.status) for item in destinations},
            {(self.everything, SUCCESS), (self.filtered, SUCCESS)},
            "destinations of a message",
        )
        ok("attempts are listed by message and by endpoint")

        api.resend(self.app, self.paid, self.filtered)
        again = self.attempts_of(self.paid, 3)
        by_hand = [a for a in again if a.trigger_type == 1]
        same([a.endpoint_id for a in by_hand], [self.filtered], "the attempt made by hand")
        ok("a message is resent")

    def failures(self):
        broken = self.svix.endpoint.create(
            self.app,
            EndpointIn(url=f"{self.receiver}/status/500", event_types=["invoice.broken"]),
        )
        message = self.publish("invoice.broken", 7).id

        def look():
            data = self.svix.message_attempt.list_by_endpoint(self.app, broken.id).data
            return data or None

        attempt = eventually(look, "an attempt that fails")[0]
        same((attempt.status, attempt.response_status_code), (FAIL, 500), "a failed attempt")

        def waiting():
            items = self.svix.message_attempt.list_attempted_destinations(self.app, message).data
            found = [item for item in items if item.id == broken.id]
            return found[0] if found and found[0].status == PENDING else None

        delivery = eventually(waiting, "a delivery that waits for its next attempt")
        holds(delivery.next_attempt is not None, "it says when")
        ok("a failed attempt is shown, and its delivery waits for the next")

    def deletion(self):
        endpoints = self.svix.endpoint
        endpoints.delete(self.app, "all")
        refused(lambda: endpoints.get(self.app, "all"), 404, "a deleted endpoint is 404")
        reborn = endpoints.create(self.app, EndpointIn(url=f"{self.receiver}/b", uid="all"))
        holds(reborn.id != self.everything, "its uid is free at once")
        self.svix.application.delete(self.app)
        refused(
            lambda: self.svix.application.get(self.app), 404, "a deleted application is 404"
        )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    Spine(*sys.argv[1:]).run()

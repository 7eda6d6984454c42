"""What the calls share: saying what holds, stopping at what does not, and a world to try it in."""

import sys
import time
import uuid

from svix.api import ApplicationIn, EndpointIn, MessageCreateOptions, MessageIn, Svix, SvixOptions
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


def ids(items):
    return [item.id for item in items]


def all_pages(fetch):
    """Everything of a list, page by page, as a program of a user's would read it.

    The page before the second one is the first.
    """
    pages = [fetch(None)]
    while not pages[-1].done:
        holds(pages[-1].iterator, "a page that is not the last has an iterator")
        holds(len(pages) < 100, "a list ends")
        pages.append(fetch(pages[-1].iterator))
    if len(pages) > 1 and pages[1].data:
        back = fetch(pages[1].prev_iterator)
        same(back.data, pages[0].data, "the page before the second is the first")
    return [item for page in pages for item in page.data]


def eventually(look, what):
    """Asks until the answer is not None."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    sys.exit(f"not ok {what}: not within {PATIENCE} s")


class World:
    """A client, a receiver that answers 200 (and 500 below /status/500), and an application."""

    def __init__(self, url, token, receiver):
        self.url = url
        self.svix = self.client(token)
        self.receiver = receiver.rstrip("/")
        self.app = f"py-{uuid.uuid4().hex[:12]}"
        self.svix.application.create(ApplicationIn(name="A world", uid=self.app))

    def client(self, token):
        # Without retries, so that a 500 is seen as one.
        return Svix(token, SvixOptions(server_url=self.url, retry_schedule=[]))

    def endpoint(self, path, **rest):
        return self.svix.endpoint.create(
            self.app, EndpointIn(url=f"{self.receiver}{path}", **rest)
        )

    def publish(self, event_type, number=1, **rest):
        return self.svix.message.create(
            self.app,
            MessageIn(event_type=event_type, payload={"number": number}, **rest),
            MessageCreateOptions(with_content=True),
        )

    def attempts(self, message, count):
        """The attempts of a message, once there are that many."""

        def look():
            data = self.svix.message_attempt.list_by_msg(self.app, message).data
            return data if len(data) >= count else None

        return eventually(look, f"{count} attempts of {message}")

    def finished(self, task):
        """A background task, once it is no longer running."""

        def look():
            found = self.svix.background_task.get(task.id)
            return None if str(found.status) == "running" else found

        return eventually(look, f"the end of {task.id}")

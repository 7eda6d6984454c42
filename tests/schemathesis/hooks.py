"""Lets most requests be about things that exist, and hold a URL and an event type that may be.

What schemathesis makes up is 404 or 422 nearly always, so the code behind it would hardly be
reached. Only what it made to be valid is replaced: what it broke on purpose stays broken.
"""

import itertools
import json
import os

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

# What the test makes before it starts this; of what the server names, it tells the ids. They are
# several of a kind, as what is deleted is gone.
THINGS = json.loads(os.environ["POSTHASTE_TEST_IDS"]) | {
    "app_id": ["shop"],
    "endpoint_id": ["all", "broken"],
    "msg_id": ["evt-1", "evt-2", "evt-3"],
    "event_type_name": ["invoice.paid", "invoice.broken"],
    "provider_name": ["github", "stripe"],
}
# What the other requests need is neither deleted nor renamed: what changes a thing itself, changes
# one that is there for that, or makes it.
SPARED = {"app_id": "spare", "endpoint_id": "spare", "msg_id": "evt-4"}
FIELDS = {
    "url": ["http://127.0.0.1:9/closed", "http://127.0.0.1:9/other"],
    "eventType": ["invoice.paid", "invoice.broken"],
    "name": ["invoice.paid", "invoice.made"],
    "provider": ["github", "slack"],
}
# One value in this many stays as it was made up.
KEPT = 5
turn = itertools.count(1)


def is_valid(case, location):
    component = case.meta and case.meta.components.get(location)
    return component is not None and component.mode == GenerationMode.POSITIVE


def chosen(values):
    """One after the other, and now and then none: the same run for the same seed."""
    at = next(turn)
    return values[at % len(values)] if at % KEPT else None


def fill(body):
    for name, values in FIELDS.items():
        if isinstance(body.get(name), str):
            body[name] = chosen(values) or body[name]
    for item in body.get("messages") or []:
        if isinstance(item, dict):
            fill(item)


@schemathesis.hook
def before_call(context, case, kwargs):
    last = case.path.rstrip("/").rsplit("/", 1)[-1].strip("{}")
    is_changed = last if case.method.upper() in ("DELETE", "PUT", "PATCH") else None
    if is_valid(case, ParameterLocation.PATH):
        for name in case.path_parameters:
            if name == is_changed and name in SPARED:
                case.path_parameters[name] = SPARED[name]
            elif name in THINGS:
                value = chosen(THINGS[name])
                case.path_parameters[name] = value or case.path_parameters[name]
    if isinstance(case.body, dict) and is_valid(case, ParameterLocation.BODY):
        fill(case.body)
        if is_changed:
            case.body.pop("uid", None)

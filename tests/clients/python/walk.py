"""Calls everything of the sending API with the official Python client.

Usage: walk.py URL TOKEN RECEIVER [RESOURCE...]

RECEIVER is the base URL of a receiver that answers 200, and 500 below /status/500. Each RESOURCE
is a file in `calls`; all of them by default.
"""

import importlib
import pathlib
import sys

from check import World, refused


def main(url, token, receiver, *chosen):
    calls = pathlib.Path(__file__).with_name("calls")
    found = sorted(path.stem for path in calls.glob("*.py") if path.stem != "__init__")
    for name in chosen or found:
        world = World(url, token, receiver)
        importlib.import_module(f"calls.{name}").run(world)
        world.svix.application.delete(world.app)
        refused(lambda: world.svix.application.get(world.app), 404, f"{name}: it is left clean")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

"""The calls of the sending API, a file per resource. Each has a `run` that is given a world."""

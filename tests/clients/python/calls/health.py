from check import ok


def run(world):
    world.svix.health.get()
    ok("the server is healthy")

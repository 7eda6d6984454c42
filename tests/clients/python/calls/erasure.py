from svix.api import BulkExpungeContentsIn, MessageGetOptions

from check import ok, refused, same


def run(world):
    messages, attempts, app = world.svix.message, world.svix.message_attempt, world.app
    world.endpoint("/all", uid="all")
    message = world.publish("invoice.secret", 42)
    attempt = world.attempts(message.id, 1)[0]
    attempts.expunge_content(app, message.id, attempt.id)
    same(attempts.get(app, message.id, attempt.id).response, "", "an erased response")
    refused(
        lambda: attempts.expunge_content(app, message.id, "atmpt_nowhere"),
        404,
        "erasing no attempt is 404",
    )
    ok("a response is erased")

    messages.expunge_content(app, message.id)
    erased = messages.get(app, message.id, MessageGetOptions(with_content=True))
    same(erased.payload, {}, "an erased payload")
    messages.expunge_content(app, message.id)
    refused(lambda: messages.expunge_content(app, "msg_nowhere"), 404, "erasing nothing is 404")
    refused(
        lambda: attempts.resend(app, message.id, "all"),
        409,
        "resending what was erased is 409",
    )
    other = world.publish("invoice.secret", 43).id
    erased = messages.bulk_expunge_content(app, BulkExpungeContentsIn(ids=[other, "nothing"]))
    results = {id: str(status) for id, status in erased.results.items()}
    same(results, {other: "expunged", "nothing": "not-found"}, "payloads erased by a list")
    last = world.publish("invoice.secret", 44).id
    task = messages.expunge_all_contents(app)
    same(str(task.task), "application.purge_content", "the kind of a task")
    same(str(world.finished(task).status), "finished", "the end of erasing everything")
    erased = messages.get(app, last, MessageGetOptions(with_content=True))
    same(erased.payload, {}, "a payload among all")
    ok("a payload is erased, and once more changes nothing")

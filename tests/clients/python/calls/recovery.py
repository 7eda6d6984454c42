"""What is sent again later: recover, replay missing, bulk replay, and the tasks that do it."""

from datetime import timedelta

from svix.api import (
    BackgroundTaskListOptions,
    BulkReplayIn,
    EndpointPatch,
    MessageAttemptListByEndpointOptions,
    RecoverIn,
    ReplayIn,
)

from check import FAIL, SUCCESS, all_pages, eventually, holds, ids, ok, refused, same


def run(world):
    svix, app = world.svix, world.app
    api = svix.endpoint
    since = svix.application.get(app).created_at - timedelta(seconds=1)
    broken = world.endpoint("/status/500", uid="broken", event_types=["invoice.lost"])
    lost = world.publish("invoice.lost").id

    def given_up():
        items = svix.message_attempt.list_attempted_destinations(app, lost).data
        return True if items and items[0].status == FAIL else None

    eventually(given_up, "a delivery that was given up")
    # From now on the endpoint is well.
    api.patch(app, broken.id, EndpointPatch(url=f"{world.receiver}/well"))
    task = api.recover(app, broken.id, RecoverIn(since=since))
    same(str(task.task), "endpoint.recover", "the kind of a task")
    same(str(world.finished(task).status), "finished", "a recovery's end")
    succeeded(world, broken.id, [lost])
    ok("what had failed is recovered")

    late = world.endpoint("/late", uid="late", event_types=["invoice.lost"])
    task = api.replay_missing(app, late.id, ReplayIn(since=since))
    same(str(task.task), "endpoint.replay", "the kind of a task")
    same(str(world.finished(task).status), "finished", "a replay's end")
    succeeded(world, late.id, [lost])
    ok("what was missed is replayed")

    bulk = BulkReplayIn(since=since, event_types=["invoice.lost"], status=SUCCESS)
    task = api.bulk_replay(app, late.id, bulk)
    same(str(task.task), "endpoint.bulk-replay", "the kind of a task")
    same(str(world.finished(task).status), "finished", "a bulk replay's end")
    succeeded(world, late.id, [lost, lost])
    ok("what had succeeded is sent again when asked")

    tasks = all_pages(
        lambda at: svix.background_task.list(BackgroundTaskListOptions(limit=1, iterator=at))
    )
    holds(task.id in ids(tasks), "the list has the task")
    only = BackgroundTaskListOptions(task="endpoint.recover", status="finished")
    kinds = {str(item.task) for item in svix.background_task.list(only).data}
    same(kinds, {"endpoint.recover"}, "tasks of one kind")
    refused(lambda: svix.background_task.get("qtask_nowhere"), 404, "an unknown task is 404")
    ok("tasks are listed and read")


def succeeded(world, endpoint, messages):
    api = world.svix.message_attempt

    def look():
        only = MessageAttemptListByEndpointOptions(status=SUCCESS)
        found = [item.msg_id for item in api.list_by_endpoint(world.app, endpoint, only).data]
        return found if len(found) >= len(messages) else None

    same(eventually(look, "successes"), messages, "what the endpoint got")

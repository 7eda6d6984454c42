import { ok, refused, same } from "../check.mjs";

export async function run(world) {
  const { message: messages, messageAttempt: attempts } = world.svix;
  const app = world.app;
  await world.endpoint("/all", { uid: "all" });
  const { id } = await world.publish("invoice.secret", 42);
  const [attempt] = await world.attempts(id, 1);
  await attempts.expungeContent(app, id, attempt.id);
  same((await attempts.get(app, id, attempt.id)).response, "", "an erased response");
  ok("a response is erased");

  await messages.expungeContent(app, id);
  same((await messages.get(app, id, { withContent: true })).payload, {}, "an erased payload");
  const unknown = () => messages.expungeContent(app, "msg_nowhere");
  await refused(unknown, 404, "erasing nothing is 404");
  const resend = () => attempts.resend(app, id, "all");
  await refused(resend, 409, "resending what was erased is 409");
  const other = await world.publish("invoice.secret", 43);
  const { results } = await messages.bulkExpungeContent(app, { ids: [other.id, "nothing"] });
  same([results[other.id], results.nothing], ["expunged", "not-found"], "erased by a list");
  ok("a payload is erased");
}

import { ok } from "../check.mjs";

export async function run(world) {
  await world.svix.health.get();
  ok("the server is healthy");
}

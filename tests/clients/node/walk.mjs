// Calls everything of the sending API with the official JavaScript client.
//
// RECEIVER is the base URL of a receiver that answers 200, and 500 below /status/500. Each RESOURCE
// is a file in `calls`; all of them by default.

import { readdirSync } from "node:fs";

import { args, load, refused, World } from "./check.mjs";

const usage = "walk.mjs URL TOKEN RECEIVER [RESOURCE...]";
const [url, token, receiver, ...chosen] = args(3, 99, usage);
const { Svix } = await load("svix");
const found = readdirSync(new URL("calls", import.meta.url)).map((name) => name.split(".")[0]);
for (const name of chosen.length > 0 ? chosen : found.sort()) {
  const world = await World.create(Svix, url, token, receiver);
  await (await import(`./calls/${name}.mjs`)).run(world);
  await world.svix.application.delete(world.app);
  await refused(() => world.svix.application.get(world.app), 404, `${name}: it is left clean`);
}

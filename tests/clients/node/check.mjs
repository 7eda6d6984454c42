// What the scripts of this folder share: saying what holds, and stopping at what does not.

// Node before 19 keeps this to itself, and the clients expect it to be global.
globalThis.crypto ??= (await import("node:crypto")).webcrypto;

/** The clients are installed elsewhere: POSTHASTE_TEST_NODE_MODULES says in which folder. */
export async function load(name) {
  const { createRequire } = await import("node:module");
  const { pathToFileURL } = await import("node:url");
  const { readFileSync } = await import("node:fs");
  const { resolve } = await import("node:path");
  if (!process.env.POSTHASTE_TEST_NODE_MODULES) {
    return import(name);
  }
  const folder = resolve(process.env.POSTHASTE_TEST_NODE_MODULES);
  const manifest = JSON.parse(readFileSync(`${folder}/${name}/package.json`, "utf8"));
  const main = `${folder}/${name}/${manifest.main}`;
  return manifest.type === "module"
    ? import(pathToFileURL(main))
    : createRequire(pathToFileURL(main))(main);
}

export function fail(what) {
  console.error(`not ok ${what}`);
  process.exit(1);
}

export function ok(what) {
  console.log(`ok ${what}`);
}

export function same(found, expected, what) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  if (left !== right) {
    fail(`${what}: found ${left}, expected ${right}`);
  }
}

export function holds(condition, what) {
  if (!condition) {
    fail(what);
  }
}

const isText = (value) => typeof value === "string" && value !== "";

async function failure(call, what) {
  try {
    await call();
  } catch (error) {
    holds(error.code !== undefined, `${what}: is an answer, not ${error}`);
    return error;
  }
  return fail(`${what}: it was not refused`);
}

/** The call fails with this status and an error of the shape that clients parse. */
export async function refused(call, status, what) {
  const error = await failure(call, what);
  same(error.code, status, what);
  holds(isText(error.body.code), `${what}: has a code`);
  holds(isText(error.body.detail), `${what}: has a detail`);
  ok(what);
}

/** The call fails with 422 and names the field. */
export async function invalid(call, field, what) {
  const error = await failure(call, what);
  same(error.code, 422, what);
  for (const { loc, msg, type } of error.body.detail) {
    holds(loc.every((part) => typeof part === "string"), `${what}: loc has only strings`);
    holds(isText(msg) && isText(type), `${what}: has a message and a type`);
  }
  holds(error.body.detail.some(({ loc }) => loc.includes(field)), `${what}: names ${field}`);
  ok(what);
}

/** Everything of a list, page by page, as a program of a user's would read it; the page before the
 * second one is the first. */
export async function allPages(fetch) {
  const pages = [await fetch(undefined)];
  while (!pages.at(-1).done) {
    holds(isText(pages.at(-1).iterator), "a page that is not the last has an iterator");
    holds(pages.length < 100, "a list ends");
    pages.push(await fetch(pages.at(-1).iterator));
  }
  if (pages.length > 1 && pages[1].data.length > 0) {
    const back = await fetch(pages[1].prevIterator);
    same(back.data, pages[0].data, "the page before the second is the first");
  }
  return pages.flatMap((page) => page.data);
}

export const ids = (items) => items.map((item) => item.id);
export const sorted = (items) => [...items].sort();
export const [SUCCESS, PENDING, FAIL] = [0, 1, 2];

const PATIENCE_MS = 15_000; // Deliveries take milliseconds on a machine that is not overloaded.

/** Asks until there is an answer. */
export async function eventually(look, what) {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const found = await look();
    if (found) {
      return found;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return fail(`${what}: not within ${PATIENCE_MS} ms`);
}

/** A client, a receiver that answers 200 (and 500 below /status/500), and an application. */
export class World {
  static async create(Svix, url, token, receiver) {
    const world = new World();
    // Without retries, so that a 500 is seen as one.
    world.client = (key) => new Svix(key, { serverUrl: url, retryScheduleInMs: [] });
    world.svix = world.client(token);
    world.receiver = receiver.replace(/\/+$/, "");
    world.app = `js-${crypto.randomUUID().slice(0, 12)}`;
    await world.svix.application.create({ name: "A world", uid: world.app });
    return world;
  }

  endpoint(path, rest = {}) {
    return this.svix.endpoint.create(this.app, { url: `${this.receiver}${path}`, ...rest });
  }

  publish(eventType, number = 1, rest = {}) {
    const message = { eventType, payload: { number }, ...rest };
    return this.svix.message.create(this.app, message, { withContent: true });
  }

  /** The attempts of a message, once there are that many. */
  attempts(message, count) {
    return eventually(async () => {
      const { data } = await this.svix.messageAttempt.listByMsg(this.app, message);
      return data.length >= count && data;
    }, `${count} attempts of ${message}`);
  }

  /** A background task, once it is no longer running. */
  finished(task) {
    return eventually(async () => {
      const found = await this.svix.backgroundTask.get(task.id);
      return found.status !== "running" && found;
    }, `the end of ${task.id}`);
  }
}

/** The arguments, of which there must be this many. */
export function args(min, max, usage) {
  const given = process.argv.slice(2);
  if (given.length < min || given.length > max) {
    console.error(`Usage: ${usage}`);
    process.exit(2);
  }
  return given;
}

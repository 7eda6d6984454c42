// Verifies captured deliveries that are signed with Ed25519, with Node's own cryptography.
//
// Each line of FILE is a delivery: {"headers": {...}, "body": "<base64>", "keys": URL}. The keys come
// from the server's public list, as a receiver gets them. Every delivery must verify with the first
// key, and none once a byte has changed.

import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

import { args, fail, ok } from "./check.mjs";

const [path] = args(1, 1, "verify_v1a.mjs FILE");

function accepts(jwk, headers, body) {
  const key = createPublicKey({ key: { kty: jwk.kty, crv: jwk.crv, x: jwk.x }, format: "jwk" });
  const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
  const signed = Buffer.concat([Buffer.from(content), body]);
  return headers["webhook-signature"].split(" ").some((signature) => {
    const [version, text] = signature.split(",");
    return version === "v1a" && verify(null, signed, key, Buffer.from(text, "base64"));
  });
}

let count = 0;
for (const line of readFileSync(path, "utf8").split("\n").filter(Boolean)) {
  const { headers, body: text, keys: url } = JSON.parse(line);
  const { keys } = await (await fetch(url)).json();
  const body = Buffer.from(text, "base64");
  if (!accepts(keys[0], headers, body)) {
    fail(`${headers["webhook-id"]} does not verify: ${headers["webhook-signature"]}`);
  }
  body[body.length - 1] ^= 1;
  if (accepts(keys[0], headers, body)) {
    fail(`${headers["webhook-id"]} verifies with another body`);
  }
  count += 1;
}
ok(`${count} deliveries verify with their public keys, and none that was changed`);

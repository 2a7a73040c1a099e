/**
 * RFC 9578's figures through the library, with its random numbers handed in: prints what it made of
 * each vector and whether every token of the other sets verifies.
 */
import { readFileSync } from "node:fs";
import * as pass from "../../app/web/child/static/privacy-pass.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../vectors/age/${name}.json`, import.meta.url)));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (made) => Buffer.from(made).toString("hex");

function drawing(...values) {
  crypto.getRandomValues = (array) => {
    array.set(bytes(values.shift()));
    return array;
  };
}

const made = [];
for (const { token_key: key, challenge, nonce, salt, blind, response } of read("rfc9578-type2").vectors) {
  drawing(nonce, salt, blind);
  const { blinded, keyId, secret } = await pass.blind(bytes(challenge), bytes(key));
  const token = await pass.finalize(JSON.parse(JSON.stringify(secret)), bytes(response));
  made.push({ request: `0002${hex(keyId.slice(-1))}${hex(blinded)}`, token: hex(token) });
}
const others = [
  ...read("privacypass-blind").map(({ pkS, token }) => [token, pkS]),
  ...read("privacypass-python").map(({ spki, token }) => [token, spki]),
];
const verified = [];
for (const [token, key] of others) verified.push(await pass.verifies(bytes(token), bytes(key)));
console.log(JSON.stringify({ made, verified }));

/**
 * Puts cases through the library of passes, in node (a list as JSON on standard input) and in a
 * browser (run(cases)). A case is { do: "blind", challenge, key } or { do: "finalize", secret,
 * signature }, bytes as hex; what comes of it is { code } for a refusal.
 */
import * as pass from "../../app/web/child/static/privacy-pass.js";

const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (made) => Array.from(made, (byte) => byte.toString(16).padStart(2, "0")).join("");

const ACTS = {
  blind: async ({ challenge, key }) => {
    const { keyId, blinded, secret } = await pass.blind(bytes(challenge), bytes(key));
    return { request: `0002${hex(keyId.slice(-1))}${hex(blinded)}`, secret };
  },
  finalize: async ({ secret, signature }) => {
    const token = await pass.finalize(secret, bytes(signature));
    return { header: pass.authorization(token) };
  },
  header: async ({ token }) => ({ header: pass.authorization(bytes(token)) }),
  text: async ({ text }) => {
    const made = pass.fromText(text);
    return { bytes: made === null ? null : hex(made) };
  },
};

export async function run(cases) {
  const made = [];
  for (const one of cases) {
    try {
      made.push(await ACTS[one.do](one));
    } catch (error) {
      if (!pass.PASS_CODES.includes(error.code)) throw error;
      made.push({ code: error.code });
    }
  }
  return made;
}

if (globalThis.process?.argv[1]?.endsWith("pass_cases.mjs")) {
  const { readFileSync } = await import("node:fs");
  console.log(JSON.stringify(await run(JSON.parse(readFileSync(0, "utf8")))));
}

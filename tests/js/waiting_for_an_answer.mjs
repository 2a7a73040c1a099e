/**
 * How long the page waits for an answer, on a clock that runs by itself: for each line on standard
 * input { bytes, line, taken } (`line`: a word below; `taken`: ms that the sending takes), prints
 * { ms, tries, keys, code }.
 */
import { readFileSync } from "node:fs";
import { Parcel } from "../../app/web/child/static/service.js";

let now = 0;
let waiting = [];
globalThis.setTimeout = (work, ms) => {
  const entry = { at: now + ms, work };
  waiting.push(entry);
  return entry;
};
globalThis.clearTimeout = (entry) => (waiting = waiting.filter((other) => other !== entry));

async function runClock(isOver) {
  while (!isOver()) {
    await new Promise((resolve) => setImmediate(resolve)); // whatever has been waiting for the last one
    if (isOver() || waiting.length === 0) continue;
    const first = waiting.reduce((one, other) => (other.at < one.at ? other : one));
    clearTimeout(first);
    now = first.at;
    first.work();
  }
}

const answer = (status, said, headers = {}) => new Response(JSON.stringify(said), { status, headers });
const LINES = {
  hangs: () => new Promise(() => {}),
  slow: (taken) => new Promise((resolve) => setTimeout(() => resolve(answer(201, {})), taken)),
  breaks: () => Promise.reject(new TypeError("no line")),
  "breaks late": (taken) =>
    new Promise((_, reject) => setTimeout(() => reject(new TypeError("cut")), taken)),
  busy: () => Promise.resolve(answer(503, { code: "busy" }, { "Retry-After": "10" })),
};

async function sent({ bytes, line, taken }) {
  const keys = new Set();
  let tries = 0;
  globalThis.fetch = (_, { headers, signal }) => {
    tries += 1;
    keys.add(headers["Idempotency-Key"]);
    const called = new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason)),
    );
    if (signal.aborted) return Promise.reject(signal.reason);
    return Promise.race([LINES[line](taken), called]);
  };
  now = 0;
  waiting = [];
  let code;
  let over = false;
  const parcel = new Parcel("/v1/reports", "x".repeat(bytes));
  parcel
    .send()
    .then(() => (code = "sent"), (error) => (code = error.code))
    .finally(() => (over = true));
  await runClock(() => over);
  return { ms: now, tries, keys: keys.size, code };
}

const rows = [];
for (const row of JSON.parse(readFileSync(0, "utf8"))) rows.push(await sent(row));
console.log(JSON.stringify(rows));

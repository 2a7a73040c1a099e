/** Calls to /v1/…, as any other client makes them. */

const WAITS_MS = [400, 1200, 3000];
const LONGEST_MS = 10_000; // longer than that nobody watches a page that does nothing
const ANSWER_MS = 20_000;
const MS_PER_BYTE = 0.5; // 16 kbit/s: a phone at the edge of the oldest net takes so long to send

/** The service said no; `code` is its stable word, `againMs` when it wants to be asked again. */
export class Refused extends Error {
  constructor(status, code, againMs) {
    super(code);
    this.status = status;
    this.code = code;
    this.againMs = againMs;
  }
}

/** No answer came; `code` says how. Nothing is lost: the same request can be sent again. */
export class NoLine extends Error {
  constructor(code = "no_line") {
    super(code);
    this.code = code;
  }
}

async function call(method, path, body, headers, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      body,
      headers: body === undefined ? {} : { "Content-Type": "application/json", ...headers },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal,
    });
    const said = await answer.json();
    if (answer.ok) return said;
    throw new Refused(answer.status, said.code ?? "other", againMs(answer));
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new NoLine(signal.aborted ? "no_answer" : "no_line");
  }
}

const againMs = ({ headers }) =>
  Math.min(1000 * (Number(headers.get("Retry-After")) || 0), LONGEST_MS);
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const FINAL = new Set(["case-withdrawn", "case-key-taken"]);
const passing = (error) =>
  error instanceof NoLine ||
  error.status >= 500 ||
  (error.status === 409 && !FINAL.has(error.code));

/** Every try of it together, and what is waited between them, within one limit. */
async function ask(method, path, body, headers = {}) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), ANSWER_MS + MS_PER_BYTE * (body?.length ?? 0));
  try {
    return await patiently(() => call(method, path, body, headers, limit.signal), limit.signal);
  } finally {
    clearTimeout(timer);
  }
}

async function patiently(work, limit) {
  for (const wait of WAITS_MS) {
    try {
      return await work();
    } catch (error) {
      if (!passing(error) || limit.aborted) throw error;
      await sleep(Math.max(wait, error.againMs ?? 0));
    }
  }
  return work();
}

export const challenge = () => ask("GET", "/v1/age/challenge");
export const platforms = () => ask("GET", "/v1/platforms").then((said) => said.platforms);

const withKey = (path) => (key) => ask("POST", path, JSON.stringify({ case_key: key }));
export const openCase = withKey("/v1/case/open");
export const withdrawCase = withKey("/v1/case/withdraw");
export const withdrawItem = (key, item) =>
  ask("POST", "/v1/case/items/withdraw", JSON.stringify({ case_key: key, item }));

/**
 * A report or an addition that can be sent again without being taken twice: its bytes and its key
 * stay the same.
 */
export class Parcel {
  #path;
  #body;
  #headers;

  constructor(path, body, headers = {}) {
    this.#path = path;
    this.#body = body;
    this.#headers = { "Idempotency-Key": newKey(), ...headers };
  }

  /** Whether that is what is in it, byte for byte. */
  carries(body) {
    return body === this.#body;
  }

  send() {
    return ask("POST", this.#path, this.#body, this.#headers);
  }
}

const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(24)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

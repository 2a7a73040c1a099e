/**
 * The device's end of the pass page. What is to be signed, and where to go back to, came behind the
 * `#` of the address, which no browser sends: this broker's server never learns it. It waits in the
 * tab while the person goes through a provider, and is gone once the way back begins.
 */
const PLACE = "waiting";
const VERSION = 1;
const MOST_CHARACTERS = 8000;
const MOST_MESSAGES = 3;
const TYPE = [0, 2];
const MODULUS_BYTES = 256;
const KEY_ID_BYTES = 32;
const REQUEST_TYPE = "application/private-token-request";
/** What a provider's way ended with (`?problem=…`), as the site that sent the person knows it. */
const ENDINGS = { refused: "refused", limit: "limit", unavailable: "unavailable" };

const main = document.getElementById("pass");
const returns = JSON.parse(main?.dataset.returns ?? "[]");
const providers = JSON.parse(main?.dataset.providers ?? "[]");

class Ended extends Error {
  constructor(problem) {
    super(problem);
    this.problem = problem;
  }
}

// ---- what was asked for -------------------------------------------------------------------------

/** The request behind the `#`, or the one that waits, or null. */
function request() {
  const { hash, pathname, search } = location;
  if (hash !== "") {
    history.replaceState(null, "", pathname + search);
    sessionStorage.setItem(PLACE, hash.slice(1));
  }
  const text = sessionStorage.getItem(PLACE);
  const found = text === null || text.length > MOST_CHARACTERS ? null : read(text);
  if (found === null) sessionStorage.removeItem(PLACE);
  return found;
}

function read(text) {
  try {
    const { v, key, blinded, back: way, state } = JSON.parse(new TextDecoder().decode(fromText(text)));
    const messages = blinded.map(fromText);
    const back = new URL(way);
    const good =
      v === VERSION &&
      fromText(key).length === KEY_ID_BYTES &&
      messages.length >= 1 &&
      messages.length <= MOST_MESSAGES &&
      messages.every(({ length }) => length === MODULUS_BYTES) &&
      /^[\x21-\x7e]{1,128}$/.test(state) &&
      isReturn(back);
    return good ? { key: toText(fromText(key)), messages, back: back.href, state } : null;
  } catch {
    return null;
  }
}

/**
 * Back only to a site that this broker's operator knows, and never into a script. What is opened is
 * the address as it was read here, not its text, which could be read otherwise with more behind it.
 */
function isReturn({ protocol, origin, href, username, password }) {
  const web = ["https:", "http:"].includes(protocol);
  return web && returns.includes(origin) && !href.includes("#") && !username && !password;
}

// ---- signing ------------------------------------------------------------------------------------

/** What the key of that name says, by this broker's own directory. Throws Ended. */
async function predicateOf(key) {
  const answer = await fetched("/.well-known/private-token-issuer-directory");
  if (!answer.ok) throw new Ended("unavailable");
  for (const listed of (await answer.json())["token-keys"]) {
    const name = await crypto.subtle.digest("SHA-256", fromText(listed["token-key"]));
    if (toText(new Uint8Array(name)) === key) return listed.predicate;
  }
  throw new Ended("unavailable");
}

/** How many passes somebody has already shown that they may have. */
async function granted(predicate) {
  const answer = await fetched("/grant");
  if (answer.status === 404) return 0;
  if (!answer.ok) throw new Ended("unavailable");
  const grant = await answer.json();
  return grant.predicate === predicate ? grant.left : 0;
}

/** The signatures, as many as are given. Throws Ended if there are none. */
async function signed({ key, messages }, most) {
  const made = [];
  for (const message of messages.slice(0, most)) {
    const answer = await fetched("/token-request", {
      method: "POST",
      headers: { "Content-Type": REQUEST_TYPE },
      body: Uint8Array.from([...TYPE, fromText(key).at(-1), ...message]),
    });
    const signature = new Uint8Array(await answer.arrayBuffer());
    if (answer.ok && signature.length === MODULUS_BYTES) made.push(toText(signature));
    else if (made.length > 0) break;
    else throw new Ended(problemOf(answer.status));
  }
  return made;
}

const problemOf = (status) => ({ 403: "refused", 429: "limit" })[status] ?? "unavailable";

async function fetched(path, options = {}) {
  try {
    return await fetch(path, { cache: "no-store", redirect: "error", ...options });
  } catch {
    throw new Ended("unavailable");
  }
}

// ---- the page -----------------------------------------------------------------------------------

/** Whether the person goes on or back by now: what breaks off then is not a failure. */
let leaving = false;

/** The way back, with what there is to bring. Nothing of it stays here. */
function goBack({ back, state }, result) {
  leaving = true;
  sessionStorage.removeItem(PLACE);
  const letter = new TextEncoder().encode(JSON.stringify({ v: VERSION, state, ...result }));
  location.replace(`${back}#${toText(letter)}`);
}

function offerWayBack(asked) {
  const button = document.createElement("button");
  button.type = "button";
  button.id = "stop";
  button.textContent = "Go back without a pass";
  const ending = new URLSearchParams(location.search).get("problem");
  const problem = Object.hasOwn(ENDINGS, ending) ? ENDINGS[ending] : "stopped";
  button.addEventListener("click", () => goBack(asked, { problem }));
  document.getElementById("choose").append(button);
}

/** Leaves only the ways that show what the key says. Throws Ended if there is none. */
function drawWays(predicate) {
  const names = providers.filter((one) => one.predicate === predicate).map(({ name }) => name);
  const forms = [...document.querySelectorAll("#choose form")];
  for (const form of forms) {
    form.hidden = !names.some((name) => form.action.endsWith(`/providers/${name}/start`));
  }
  if (forms.every((form) => form.hidden)) throw new Ended("unavailable");
}

function say(sentence) {
  document.getElementById("status").textContent = sentence;
}

async function begin() {
  addEventListener("submit", () => (leaving = true));
  const asked = request();
  const choose = document.getElementById("choose");
  if (asked === null) {
    choose.hidden = true;
    say("Nobody is waiting for a pass here. Please go back to the site you came from.");
    return;
  }
  offerWayBack(asked);
  try {
    const predicate = await predicateOf(asked.key);
    drawWays(predicate);
    const most = await granted(predicate);
    if (leaving || most === 0) return;
    choose.hidden = true;
    say("Making your pass…");
    goBack(asked, { signed: await signed(asked, most) });
  } catch (error) {
    if (!leaving) goBack(asked, { problem: error instanceof Ended ? error.problem : "unavailable" });
  }
}

// ---- base64url ----------------------------------------------------------------------------------

function toText(bytes) {
  const plain = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return plain.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function fromText(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

if (main !== null) begin();

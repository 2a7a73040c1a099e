/**
 * Away to another page and back, in one tab. What this page must know again waits in the tab's own
 * storage, sealed; the key is the `state` that travels along in the address, so a page that comes
 * back with another state opens nothing, and whoever looks into this storage alone reads nothing.
 */
import { fromText, toText } from "./privacy-pass.js";

const PLACE = "n"; // says nothing to whoever looks at what sites have kept
const KEY_BYTES = 32;
const MOST_CHARACTERS = 4000;
const ONCE = { name: "AES-GCM", iv: new Uint8Array(12) }; // each key seals one thing

/** Seals any JSON value into this tab; the state that opens it, or null where nothing can be kept. */
export async function putAway(value) {
  const raw = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  const text = new TextEncoder().encode(JSON.stringify(value));
  const sealed = await crypto.subtle.encrypt(ONCE, await keyOf(raw, "encrypt"), text);
  try {
    sessionStorage.setItem(PLACE, toText(new Uint8Array(sealed)));
  } catch {
    return null;
  }
  return toText(raw);
}

/** What was put away under that state, or null. Afterwards it is gone. */
export async function takeBack(state) {
  const sealed = isAway() ? fromText(sessionStorage.getItem(PLACE)) : null;
  const raw = fromText(state);
  forgetAway();
  if (sealed === null || raw?.length !== KEY_BYTES) return null;
  try {
    const opened = await crypto.subtle.decrypt(ONCE, await keyOf(raw, "decrypt"), sealed);
    return JSON.parse(new TextDecoder().decode(opened));
  } catch {
    return null;
  }
}

export function isAway() {
  try {
    return sessionStorage.getItem(PLACE) !== null;
  } catch {
    return false;
  }
}

export function forgetAway() {
  try {
    sessionStorage.removeItem(PLACE);
  } catch {
    // Nothing may be kept here, so nothing is.
  }
}

/** The page's address with a letter in the part that is never sent. */
export function withLetter(page, letter) {
  const text = new TextEncoder().encode(JSON.stringify(letter));
  return `${page}#${toText(text)}`;
}

/**
 * The letter in our own address, which is made plain at once: undefined if there is none, null if
 * it cannot be read.
 */
export function letterInAddress() {
  const { hash, pathname } = location;
  if (hash === "") return undefined;
  history.replaceState(null, "", pathname);
  if (hash.length > MOST_CHARACTERS) return null;
  try {
    return JSON.parse(new TextDecoder().decode(fromText(hash.slice(1))));
  } catch {
    return null;
  }
}

const keyOf = (raw, use) => crypto.subtle.importKey("raw", raw, "AES-GCM", false, [use]);

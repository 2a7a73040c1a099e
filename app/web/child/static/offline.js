/** Keeping the page on the phone, only when asked: what is kept is a trace. */
import { byId } from "./elements.js";
import { words } from "./words.js";

const KEEPER = "/keep.js";

/** The one address that may become a worker's, and our own kept box, may become more than text. */
const policy = globalThis.trustedTypes?.createPolicy("offline", {
  createScriptURL: (address) => {
    if (address !== KEEPER) throw new TypeError("Not ours.");
    return address;
  },
  createHTML: (page) => page,
});

/**
 * Without internet a frame cannot fetch its page: a frame with the kept one in it takes its place
 * (a new one, for a second page in the old would be a second entry of the history). The page's
 * policy lets only the script run in it whose digest it names. Null where nothing is kept.
 */
export async function keptInsteadOf(frame) {
  if (!navigator.serviceWorker?.controller) return null;
  const answer = await fetch(`/kept/${document.documentElement.lang}`).catch(() => null);
  if (!answer?.ok) return null;
  const page = await answer.text();
  const kept = frame.cloneNode();
  kept.removeAttribute("src");
  kept.srcdoc = policy ? policy.createHTML(page) : page;
  frame.replaceWith(kept);
  return kept;
}

export function offerOffline() {
  if (!("serviceWorker" in navigator)) {
    byId("offline").hidden = true;
    return;
  }
  byId("keep").addEventListener("click", async () => {
    const done = await keep().then(
      () => "offline.kept",
      () => "offline.failed",
    );
    byId("keep").textContent = words(done);
  });
}

async function keep() {
  const address = policy ? policy.createScriptURL(KEEPER) : KEEPER;
  await navigator.serviceWorker.register(address);
  await navigator.serviceWorker.ready;
}

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
 * Without internet a frame cannot fetch its page: put the kept one into it. The page's policy lets
 * only the script run in it whose digest it names.
 */
export async function fillFromKept(frame) {
  if (!navigator.serviceWorker?.controller) return false;
  const answer = await fetch(`/kept/${document.documentElement.lang}`).catch(() => null);
  if (!answer?.ok) return false;
  const page = await answer.text();
  frame.srcdoc = policy ? policy.createHTML(page) : page;
  return true;
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

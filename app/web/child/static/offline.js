/** Keeping the page on the phone, only when asked: what is kept is a trace. */
import { byId } from "./elements.js";
import { words } from "./words.js";

const KEEPER = "/keep.js";

/** The one address that may become a worker's. */
const policy = globalThis.trustedTypes?.createPolicy("offline", {
  createScriptURL: (address) => {
    if (address !== KEEPER) throw new TypeError("Not ours.");
    return address;
  },
});

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

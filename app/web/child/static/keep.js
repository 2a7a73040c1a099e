/**
 * Serves the kept pages when there is no internet. It is there only if somebody asked for it, and
 * leaving takes it away. It never sends anything by itself.
 */
const KEPT = "kept";

const files = async () => (await fetch("/kept.json", { cache: "no-store" })).json();

async function keepAll() {
  const cache = await caches.open(KEPT);
  await cache.addAll(await files());
  await self.skipWaiting();
}

/** The line first, so that what is kept is never older than need be, then what was kept. */
async function fromLineOrKept(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const { pathname } = new URL(request.url);
    const kept = await caches.match(pathname);
    if (kept) return kept;
    throw error;
  }
}

/** Leaving without a line: nothing is left here, and the page is blank. */
async function leave() {
  await caches.delete(KEPT);
  await self.registration.unregister();
  return new Response("", { headers: { "Content-Type": "text/html" } });
}

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { pathname } = new URL(request.url);
  if (request.method !== "GET" || pathname.startsWith("/v1/")) return;
  if (pathname === "/leave") event.respondWith(fetch(request).catch(leave));
  else event.respondWith(fromLineOrKept(request));
});

/** Going to another page, and staying here where that page does not come. */
const ANSWERS_WITHIN_MS = 4000;
const OPENS_WITHIN_MS = 10_000;

/**
 * Whether that address answers in time. It is told nothing: no cookie, no referrer, no body. Only an
 * answer made for other sites counts (Cross-Origin-Resource-Policy), so the error of a proxy before
 * a server that is down does not. HEAD, for the worker of a kept page takes a GET to be ours.
 */
export async function answers(address, signal) {
  const asking = new AbortController();
  const stopAsking = () => asking.abort();
  const timer = setTimeout(stopAsking, ANSWERS_WITHIN_MS);
  signal.addEventListener("abort", stopAsking);
  try {
    await fetch(address, {
      method: "HEAD",
      mode: "no-cors",
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: asking.signal,
    });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stopAsking);
  }
}

/** Opens another page in place of this one. Comes to an end only if we stay: too late, or called off. */
export function opened(address, signal) {
  return new Promise((stayed) => {
    const stay = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stay);
      window.stop(); // within the calling off: whoever leaves opens the next page right after it
      stayed();
    };
    const timer = setTimeout(stay, OPENS_WITHIN_MS);
    signal.addEventListener("abort", stay);
    location.replace(address);
  });
}

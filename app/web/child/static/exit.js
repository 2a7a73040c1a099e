/** Leaving fast. The page is emptied at once; then its history entry becomes the neutral one. */
import { onThreeShifts } from "./shifts.js";
import { say, words } from "./words.js";

const out = new AbortController();

/** Aborted when somebody leaves, before anything else: nothing may open another page then. */
export const leaving = out.signal;

export function leave() {
  out.abort();
  document.body.replaceChildren();
  forget();
  location.replace("/leave");
}

/** The answer of /leave says the same to the browser; this holds without internet too. */
function forget() {
  try {
    sessionStorage.clear();
    localStorage.clear();
  } catch {
    // Nothing may be kept here, so nothing is.
  }
}

/** Every way out on the page; Back to a page that the browser kept asks the server anew. */
export function watchForLeaving() {
  for (const link of document.querySelectorAll("[data-leave]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      leave();
    });
  }
  onThreeShifts(leave, (left) =>
    say(left === 1 ? words("leave.press") : words("leave.presses", { left })),
  );
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}

/** One screen at a time. The address and the history stay as they are. */
import { WAY, placeOnWay } from "./journey.js";
import { byId } from "./elements.js";
import { words } from "./words.js";

const SLOW_MS = 10_000; // longer than that nobody watches a page that says nothing

/** Only here the language can be changed: it starts the page anew, and nothing is lost yet. */
const BEFORE_ANSWERS = new Set(["leave", "start", "enter"]);

export const sectionOf = (step) => document.querySelector(`[data-step="${step}"]`);
export const shownStep = () => document.querySelector("[data-step]:not([hidden])").dataset.step;

/** Show a step and move the focus to its heading. */
export function show(step, { focus = true } = {}) {
  sectionOf("late")?.remove(); // all is here now
  for (const section of document.querySelectorAll("[data-step]")) {
    section.hidden = section.dataset.step !== step;
  }
  wrong("");
  showWay(step);
  scrollTo(0, 0);
  if (focus) sectionOf(step).querySelector("h1").focus({ preventScroll: true });
}

function showWay(step) {
  const at = placeOnWay(step);
  byId("way").textContent = at === 0 ? "" : words("progress", { step: at, steps: WAY.length });
  document.querySelector("footer").hidden = !BEFORE_ANSWERS.has(step);
  document.body.style.setProperty("--way", at / WAY.length);
}

/** Say what is wrong on the screen that is shown; nothing for "". */
export function wrong(sentence) {
  for (const place of document.querySelectorAll("[data-step]:not([hidden]) .wrong")) {
    place.textContent = sentence;
  }
}

/** Say that it takes long; gives what takes that back, unless something else was said since. */
function sayLater() {
  const slow = words("problem.slow");
  const timer = setTimeout(() => wrong(slow), SLOW_MS);
  return () => {
    clearTimeout(timer);
    for (const place of document.querySelectorAll(".wrong")) {
      if (place.textContent === slow) place.textContent = "";
    }
  };
}

/** A button that cannot be pressed twice while its work goes on. */
export function onPress(button, busyWords, work) {
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    const before = button.textContent;
    button.setAttribute("aria-busy", "true");
    if (busyWords) button.textContent = busyWords;
    wrong("");
    const unsay = sayLater();
    try {
      await work();
    } finally {
      unsay();
      button.removeAttribute("aria-busy");
      button.textContent = before;
    }
  });
}

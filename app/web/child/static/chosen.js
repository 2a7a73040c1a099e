/** The photos and videos that were chosen: what the box said of them, and the list on the page. */
import { byId, element } from "./elements.js";
import { leave } from "./exit.js";
import { letterFrom } from "./letters.js";
import { keptInsteadOf } from "./offline.js";
import { shownStep, wrong } from "./screens.js";
import { say, words } from "./words.js";

const PATIENCE_MS = 20_000;
const AGAIN_MS = 1000;

/** Files in the order they were chosen. An entry is working, ready or refused. */
export class Chosen {
  #entries = [];
  #most;
  #first = 0;
  #busy = false;
  #leftOut = false;
  #ready = false;
  #frame = byId("box");

  constructor(most = 50) {
    this.#most = most;
    this.#draw();
    addEventListener("message", (event) => this.#hear(event));
    this.#tell("ready"); // it may have said so before anybody listened
    if (!navigator.onLine) this.#useKept();
    setTimeout(() => this.#stillNotReady(), PATIENCE_MS);
  }

  get busy() {
    return this.#busy;
  }

  /** { kind, hashes } of everything that is ready. */
  get items() {
    return this.#entries.filter(({ hashes }) => hashes).map(({ kind, hashes }) => ({ kind, hashes }));
  }

  /** Puts back what was ready before this page was left for a while. */
  restore(items) {
    this.#entries = items.map(({ kind, hashes }) => ({ kind, hashes }));
    this.#leftOut = false;
    this.#draw();
  }

  forget() {
    this.restore([]);
  }

  /** Only our own box is heard, and of it only what letters.js knows. */
  #hear({ source, origin, data }) {
    if (source !== this.#frame.contentWindow || origin !== "null") return;
    const letter = letterFrom(data);
    if (letter !== null) this.#take[letter.is](letter);
  }

  async #useKept() {
    const kept = await keptInsteadOf(this.#frame);
    this.#frame = kept ?? this.#frame;
    return kept !== null;
  }

  async #stillNotReady() {
    if (this.#ready || (await this.#useKept())) return;
    if (shownStep() === "choose") wrong(words("choose.blocked"));
    else setTimeout(() => this.#stillNotReady(), AGAIN_MS);
  }

  #take = {
    ready: () => {
      this.#ready = true;
    },
    leave,
    too_many: () => {
      this.#leftOut = true;
      this.#draw();
    },
    begun: ({ files }) => {
      wrong("");
      this.#busy = true;
      this.#leftOut = false;
      this.#first = this.#entries.length;
      for (let file = 0; file < files; file++) this.#entries.push({ percent: 0 });
      this.#draw();
    },
    progress: ({ file, percent }) => this.#change(file, { percent }),
    refused: ({ file, code }) => this.#change(file, { refused: words(`refused.${code}`) }),
    hashed: ({ file, kind, hashes }) => this.#change(file, this.#fresh(kind, hashes)),
    ended: () => {
      this.#busy = false;
      this.#draw();
      say(this.#entries.map((entry, at) => `${this.#name(entry, at)}: ${stateOf(entry)}`).join(" "));
    },
  };

  /** Draws no other row anew, and none for its percent: a button stays while it is being pressed. */
  #change(file, more) {
    const at = this.#first + file;
    const entry = this.#entries[at];
    if (!this.#busy || entry === undefined || entry.hashes || entry.refused) return;
    Object.assign(entry, more);
    const row = byId("files").children[at];
    if ("percent" in more) row.querySelector("progress").value = entry.percent;
    else row.replaceWith(this.#row(entry, at));
  }

  #fresh(kind, hashes) {
    if (this.items.length >= this.#most) {
      return { refused: words("choose.too_many", { most: this.#most }) };
    }
    const same = this.items.some((item) => item.hashes.sha256 === hashes.sha256);
    return same ? { refused: words("choose.same") } : { kind, hashes };
  }

  #name({ kind }, at) {
    return words(kind ? `choose.${kind}` : "choose.file", { number: at + 1 });
  }

  #draw() {
    const empty = this.#entries.length === 0;
    byId("chosen").hidden = empty;
    byId("rest").textContent = this.#leftOut ? words("choose.too_many", { most: this.#most }) : "";
    document.querySelector("[data-step=choose] [data-go=next]").hidden = empty;
    byId("files").replaceChildren(...this.#entries.map((entry, at) => this.#row(entry, at)));
  }

  #row(entry, at) {
    const working = !entry.hashes && !entry.refused;
    const name = this.#name(entry, at);
    const state = working
      ? element("progress", { max: 100, value: entry.percent, "aria-label": name })
      : element("span", { class: entry.hashes ? "ready" : "refused" }, stateOf(entry));
    return element("li", {}, element("b", {}, name), this.#button(entry, name, working), state);
  }

  #button(entry, name, working) {
    const word = words(working ? "choose.stop" : "choose.remove");
    const act = working ? () => this.#stop(entry) : () => this.#remove(entry);
    const off = !working && this.#busy;
    return element(
      "button",
      { type: "button", class: "small", "aria-label": `${word}: ${name}`, disabled: off, onclick: act },
      word,
    );
  }

  /** This one alone, and at once: what the box may still say of it comes too late. */
  #stop(entry) {
    const file = this.#entries.indexOf(entry) - this.#first;
    this.#tell({ stop: file });
    this.#change(file, { refused: words("refused.stopped") });
  }

  #tell(what) {
    this.#frame.contentWindow.postMessage(what, "*");
  }

  #remove(entry) {
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#draw();
    this.#frame.focus();
  }
}

/** A video of which no frame could be read. */
const onlyExact = ({ kind, hashes }) => kind === "video" && hashes.vpdq === undefined;

function stateOf(entry) {
  if (entry.refused) return entry.refused;
  if (entry.hashes) return words(onlyExact(entry) ? "choose.ready_exact" : "choose.ready");
  return words("choose.working", { percent: entry.percent });
}

/** What the service says of a case, in the words of this page. */
import { byId, element } from "./elements.js";
import { dayInWords, hasWords, words } from "./words.js";

const STATES = { withdrawn: "status.withdrawn", scrubbed: "status.erased" };

export function drawCase(found) {
  const state = STATES[found.state];
  byId("state").hidden = state === undefined;
  byId("state").textContent = state === undefined ? "" : words(state);
  byId("items").replaceChildren(...found.items.map((item) => itemOf(item, found.can_change)));
  for (const button of document.querySelectorAll("[data-open]")) button.hidden = !found.can_change;
}

export const nameOf = ({ number, kind }) =>
  words(kind === "video" ? "choose.video" : "choose.photo", { number });

/** What can be taken back by itself: nothing where no other would stay. */
export function takeable({ can_change: open, items }) {
  const here = items.filter(({ withdrawn }) => !withdrawn);
  return open && here.length > 1 ? here : [];
}

/** The ids of the platforms that are told of what was not taken back. */
export const toldOf = ({ items }) =>
  new Set(
    items
      .filter(({ withdrawn }) => !withdrawn)
      .flatMap(({ platforms }) => platforms.map(({ platform }) => platform)),
  );

function itemOf(item, open) {
  const { platforms } = item;
  const title = element("h2", {}, nameOf(item));
  const rows = platforms.map((row) => rowOf(row));
  const list =
    rows.length > 0 ? element("ul", { class: "apps" }, ...rows) : element("p", {}, words("status.no_apps"));
  const gone = open && item.withdrawn ? [element("p", {}, words("withdraw.one_done"))] : [];
  return element("section", { class: "item" }, title, ...gone, list);
}

function rowOf(row) {
  const key = `outcome.${row.outcome}`;
  const said = hasWords(key) ? words(key) : row.words;
  return element(
    "li",
    { "data-outcome": row.outcome },
    element("bdi", { class: "app" }, row.name),
    element("b", { class: "outcome" }, said),
    element("small", {}, words("status.since", { date: dayInWords(row.since) })),
    ...notesOf(row).map((note) => element("p", {}, note)),
  );
}

function notesOf({ outcome, automated, redress_url: redress }) {
  const notes = [];
  if (outcome === "not_found") notes.push(words("status.not_found_why"));
  if (outcome !== "they_said_no") return notes;
  notes.push(words("status.no_why"));
  if (automated) notes.push(words("status.machine"));
  if (redress) notes.push(words("status.ask_again", { address: redress }));
  return notes;
}

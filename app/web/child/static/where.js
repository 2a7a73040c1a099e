/** Which platforms to tell, and a link for those that take one. */
import { byId, element } from "./elements.js";
import { words } from "./words.js";

const LONGEST = 500;

/** The list on the page: all ticked, or only those that were told `before`. */
export function drawPlatforms(platforms, before = null) {
  const asBefore = ({ id }) => before === null || before.has(id);
  const rows = platforms.map((platform) => rowOf(platform, asBefore(platform)));
  const none = element("p", {}, words("where.none_there"));
  byId("platforms").replaceChildren(...(rows.length > 0 ? rows : [none]));
  const isNew = before === null || rows.length === 0;
  byId("where-about").textContent = isNew ? words("where.all") : aboutBefore(platforms.some(asBefore));
}

const aboutBefore = (known) => (known ? words("where.before") : words("where.pick"));

function rowOf({ id, name, takes_location: takes }, checked) {
  const box = element("input", { type: "checkbox", value: id, checked, "data-name": name });
  const label = element("label", { class: "choice" }, box, element("span", {}, element("bdi", {}, name)));
  return takes ? element("div", {}, label, linkOf(id, name)) : label;
}

function linkOf(id, name) {
  const input = element("input", {
    id: `link-${id}`,
    "data-link": id,
    autocomplete: "off",
    spellcheck: "false",
    maxlength: LONGEST,
    dir: "auto",
  });
  const sealed = element("small", {}, words("where.sealed", { name }));
  return element("div", { class: "link" }, element("label", { for: input.id }, words("where.link")), input, sealed);
}

/** What was changed in the list, to be put back after this page was left for a while. */
export function changesOfList() {
  const off = [...boxesOfList()].filter((box) => !box.checked).map((box) => box.value);
  const links = [...linksOfList()].map((input) => [input.dataset.link, input.value]);
  return { off, links };
}

export function changeList({ off, links }) {
  for (const box of boxesOfList()) box.checked = !off.includes(box.value);
  const typed = new Map(links);
  for (const input of linksOfList()) input.value = typed.get(input.dataset.link) ?? "";
}

const boxesOfList = () => byId("platforms").querySelectorAll("input[type=checkbox]");
const linksOfList = () => byId("platforms").querySelectorAll("[data-link]");

/** { ids, all, names, locations, nothing }: `all` where every one that takes part is ticked. */
export function pickedPlatforms() {
  const boxes = [...boxesOfList()];
  const ticked = boxes.filter((box) => box.checked);
  const told = new Set(ticked.map((box) => box.value));
  const locations = [...linksOfList()]
    .map((input) => ({ platform: input.dataset.link, where_seen: input.value.trim() }))
    .filter(({ platform, where_seen: seen }) => seen !== "" && told.has(platform));
  return {
    ids: [...told],
    all: ticked.length === boxes.length,
    names: ticked.map((box) => box.dataset.name),
    locations,
    nothing: boxes.length > 0 && ticked.length === 0,
  };
}

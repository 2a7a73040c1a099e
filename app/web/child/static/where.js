/** Which platforms to tell, and a link for those that take one. */
import { byId, element } from "./elements.js";
import { words } from "./words.js";

const LONGEST = 500;

/** The list on the page, all ticked. */
export function drawPlatforms(platforms) {
  const rows = platforms.map((platform) => rowOf(platform));
  const none = element("p", {}, words("where.none_there"));
  byId("platforms").replaceChildren(...(rows.length > 0 ? rows : [none]));
}

function rowOf({ id, name, takes_location: takes }) {
  const box = element("input", { type: "checkbox", value: id, checked: true, "data-name": name });
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

/** { ids, names, locations }: no ids when all are meant, so that those who join later are told. */
export function pickedPlatforms() {
  const boxes = [...boxesOfList()];
  const ticked = boxes.filter((box) => box.checked);
  const told = new Set(ticked.map((box) => box.value));
  const locations = [...linksOfList()]
    .map((input) => ({ platform: input.dataset.link, where_seen: input.value.trim() }))
    .filter(({ platform, where_seen: seen }) => seen !== "" && told.has(platform));
  return {
    ids: ticked.length === boxes.length ? [] : [...told],
    names: ticked.map((box) => box.dataset.name),
    locations,
    nothing: boxes.length > 0 && ticked.length === 0,
  };
}

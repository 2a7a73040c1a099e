/** The young person's way, from the first screen to the last. Nothing is kept beyond this page. */
import { chosenProfile, proofHeaders } from "./age.js";
import { Chosen } from "./chosen.js";
import { digitsOf, keyOf, newCode } from "./code.js";
import { byId, element } from "./elements.js";
import { watchForLeaving } from "./exit.js";
import { back, bandOf, next } from "./journey.js";
import { offerOffline } from "./offline.js";
import { onPress, sectionOf, show, shownStep, wrong } from "./screens.js";
import { NoLine, Parcel, Refused, challenge, openCase, platforms, withdrawCase } from "./service.js";
import { drawCase } from "./status.js";
import { drawPlatforms, pickedPlatforms } from "./where.js";
import { hasWords, say, words } from "./words.js";

const chosen = new Chosen();
const answers = { adding: false };
const known = { challenge: null, platforms: null };
let code = null;
let key = null;
let parcel = null;

// ---- going on and back --------------------------------------------------------------------------

/** What must be answered before a step is left, as the sentence to show, or "". */
const CHECKS = {
  age: () => picked("age"),
  then: () => picked("then"),
  you: () => picked("you"),
  choose: () =>
    chosen.busy ? words("choose.busy") : chosen.items.length === 0 ? words("choose.none") : "",
  where: () => (pickedPlatforms().nothing ? words("where.none_picked") : ""),
};

/** What must be known before a step is shown. */
const ENTRIES = {
  where: async () => {
    known.challenge ??= await challenge();
    if (known.platforms === null) drawPlatforms((known.platforms = await platforms()));
  },
  check: async () => {
    known.challenge ??= await challenge();
    if (!answers.adding) {
      code ??= newCode();
      key ??= await keyOf(code, known.challenge.case_key);
    }
    parcel = null;
    drawLeaving();
  },
  start: () => {
    answers.adding = false;
    code = key = null;
  },
};

function picked(group) {
  const radio = document.querySelector(`input[name=${group}]:checked`);
  if (radio === null) return words("pick_one");
  answers[group] = radio.value;
  return "";
}

async function go(where) {
  const step = shownStep();
  const fault = where === "next" ? (CHECKS[step]?.() ?? "") : "";
  if (fault !== "") {
    wrong(fault);
    sectionOf(step).querySelector("input, iframe")?.focus();
    return;
  }
  const target = where === "next" ? next(step, answers) : where === "back" ? back(step, answers) : where;
  await enter(target);
}

async function enter(step) {
  try {
    await ENTRIES[step]?.();
    show(step);
  } catch (error) {
    explain(error);
  }
}

function explain(error) {
  const why = error instanceof Refused ? error.code : error instanceof NoLine ? "no_line" : "other";
  wrong(words(hasWords(`problem.${why}`) ? `problem.${why}` : "problem.other"));
}

function startAdding() {
  Object.assign(answers, { adding: true });
  chosen.forget();
  show("choose");
}

for (const button of document.querySelectorAll("[data-go]")) {
  const { go: where } = button.dataset;
  onPress(button, "", () => (where === "add" ? startAdding() : go(where)));
}

// ---- what leaves the phone ----------------------------------------------------------------------

function itemsToSend() {
  const items = chosen.items.map(({ kind, hashes }) => ({ kind, hashes: hashes.map(shortly) }));
  if (answers.adding) return items;
  const { ids: platforms, locations } = pickedPlatforms();
  const where = {
    ...(platforms.length > 0 && { platforms }),
    ...(locations.length > 0 && { locations }),
  };
  return items.map((item) => ({ ...item, ...where }));
}

/** Without what the service takes for granted. */
const shortly = ({ variant, ...hash }) =>
  variant === undefined || variant === "original" ? hash : { ...hash, variant };

function bodyToSend() {
  const items = itemsToSend();
  if (answers.adding) return JSON.stringify({ case_key: key, items });
  const { profile } = chosenProfile(known.challenge.profiles) ?? { profile: "none" };
  return JSON.stringify({ case_key: key, age: { profile, band: bandOf(answers) }, items });
}

function drawLeaving() {
  const count = (kind) => chosen.items.filter((item) => item.kind === kind).length;
  const lines = ["photo", "video"]
    .filter((kind) => count(kind) > 0)
    .map((kind) =>
      count(kind) === 1
        ? words(`check.${kind}`)
        : words(`check.${kind}s`, { count: count(kind) }),
    );
  if (!answers.adding) lines.push(...linesOfReport());
  lines.push(words("check.key"));
  byId("leaves").replaceChildren(...lines.map((line) => element("li", {}, line)));
  byId("body").textContent = JSON.stringify(JSON.parse(bodyToSend()), null, 1);
}

function linesOfReport() {
  const { names, locations } = pickedPlatforms();
  const lines = [words("check.age", { band: words(`age.${answers.age}`) })];
  if (names.length > 0) lines.push(words("check.apps", { names: names.join(", ") }));
  if (locations.length > 0) lines.push(words("check.links"));
  return lines;
}

async function parcelToSend() {
  const body = bodyToSend();
  if (answers.adding) return new Parcel("/v1/case/items", body);
  const profile = chosenProfile(known.challenge.profiles);
  if (profile === null) throw new Refused(401, "age-refused");
  return new Parcel("/v1/reports", body, await proofHeaders(profile, body));
}

onPress(byId("send"), words("check.sending"), async () => {
  try {
    parcel ??= await parcelToSend();
    await parcel.send();
    sent();
  } catch (error) {
    if (error instanceof Refused) parcel = null;
    if (error.code === "case-key-taken") {
      code = key = null;
      await enter("check");
    }
    explain(error);
  }
});

function sent() {
  parcel = null;
  chosen.forget();
  byId("body").textContent = "";
  if (answers.adding) {
    show("added");
    return;
  }
  showCode(true);
  show("code");
}

// ---- the case code ------------------------------------------------------------------------------

function showCode(visible) {
  byId("code").textContent = visible ? code : words("code.hidden");
  byId("hide").textContent = words(visible ? "code.hide" : "code.show");
  byId("hide").setAttribute("aria-pressed", String(!visible));
}

byId("hide").addEventListener("click", () =>
  showCode(byId("hide").getAttribute("aria-pressed") === "true"),
);
byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(code);
  say(words("code.copied"));
  byId("copy").textContent = words("code.copied");
  setTimeout(() => (byId("copy").textContent = words("code.copy")), 3000);
});

// ---- the case -----------------------------------------------------------------------------------

async function look() {
  try {
    drawCase(await openCase(key));
    return true;
  } catch (error) {
    explain(error);
    return false;
  }
}

onPress(byId("kept"), "", async () => {
  if (!(await look())) return;
  code = null;
  byId("code").textContent = "";
  show("status");
});
onPress(byId("look"), "", async () => {
  if (await look()) say(words("status.looked"));
});
onPress(byId("seen"), "", async () => {
  if (await look()) show("status");
});

onPress(byId("open"), words("enter.opening"), async () => {
  const digits = digitsOf(byId("typed").value);
  if (digits === null) {
    wrong(words("enter.wrong"));
    byId("typed").focus();
    return;
  }
  try {
    known.challenge ??= await challenge();
    key = await keyOf(digits, known.challenge.case_key);
  } catch (error) {
    explain(error);
    return;
  }
  if (await look()) {
    byId("typed").value = "";
    show("status");
  }
});
byId("typed").addEventListener("keydown", (event) => {
  if (event.key === "Enter") byId("open").click();
});

onPress(byId("withdraw"), words("withdraw.working"), async () => {
  try {
    drawCase(await withdrawCase(key));
    show("status");
  } catch (error) {
    explain(error);
  }
});

// ---- the page itself ----------------------------------------------------------------------------

for (const link of document.querySelectorAll("[data-replace]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    location.replace(link.href);
  });
}
watchForLeaving();
offerOffline();
show("leave", { focus: false });

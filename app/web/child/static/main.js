/** The young person's way, from the first screen to the last. Nothing is kept beyond this page. */
import { Chosen } from "./chosen.js";
import { digitsOf, keyOf, newCode } from "./code.js";
import { byId, element } from "./elements.js";
import { leaving, watchForLeaving } from "./exit.js";
import { back, bandOf, next } from "./journey.js";
import { offerOffline } from "./offline.js";
import { Proof } from "./proof.js";
import { onPress, sectionOf, show, shownStep, wrong } from "./screens.js";
import {
  NoLine,
  Parcel,
  Refused,
  challenge,
  openCase,
  platforms,
  sleep,
  withdrawCase,
  withdrawItem,
} from "./service.js";
import { drawCase, nameOf, takeable, toldOf } from "./status.js";
import { changeList, changesOfList, drawPlatforms, pickedPlatforms } from "./where.js";
import { hasWords, say, words } from "./words.js";

const PATIENCE_MS = 3000;
const HASTE_MS = 1200; // within which somebody who taps and taps does not know what they tap
const AGE_WAS_WRONG = new Set(["age-refused", "age-token-spent"]);

const chosen = new Chosen();
const proof = new Proof();
const answers = { adding: false };
const known = { challenge: null, platforms: null, list: null };
let code = null;
let key = null;
let parcel = null;
let sending = null; // the pass in it
let unsure = false; // whether a report of this key arrived: no answer came
let asking = null;
let shownProfile = null;
let found = null;
let takingBack = null; // the one photo or video; null: all
let trip = new AbortController(); // the way to a pass

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
  safe: () => void learn().catch(() => {}), // early, so that nobody waits for it later
  proof: () => proof.draw(),
  where: async () => {
    await learn();
    if (known.platforms === null) await drawWhere();
    if (known.list !== null) changeList(known.list);
    known.list = null;
  },
  check: async () => {
    await learn();
    if (!answers.adding) {
      code ??= newCode();
      key ??= await keyOf(code, known.challenge.case_key);
    }
    if (sending !== null || !parcel?.carries(bodyToSend())) dropParcel();
    drawLeaving();
  },
  code: () => showCode(true),
  change: () => {
    byId("again").hidden = code === null;
    drawEach();
  },
  withdraw: () => {
    byId("which").textContent =
      takingBack === null
        ? words("withdraw.all")
        : words("withdraw.only", { name: nameOf(takingBack) });
  },
  start: () => {
    answers.adding = false;
    newCase();
  },
};

/** Whom to tell: for what is added to a case, those that are told of it. */
async function drawWhere() {
  known.platforms = await platforms();
  drawPlatforms(known.platforms, answers.adding ? toldOf(found) : null);
}

/** The service's challenge, asked for once. */
async function learn() {
  asking ??= challenge();
  try {
    known.challenge = await asking;
  } catch (error) {
    asking = null;
    throw error;
  }
  proof.learn(known.challenge);
}

/** Whether to ask how the age is to be shown: not without a line, for one can go on without. */
async function passIsOffered() {
  Object.assign(answers, { after: "you", without: false });
  if (answers.age === "adult" || !navigator.onLine) return false;
  await Promise.race([learn().catch(() => {}), sleep(PATIENCE_MS)]);
  return proof.offered && !proof.hasPass;
}

function picked(group) {
  const radio = document.querySelector(`input[name=${group}]:checked`);
  if (radio === null) return words("pick_one");
  answers[group] = radio.value;
  return "";
}

async function go(where) {
  if (byId("send").getAttribute("aria-busy") === "true") return say(words("check.sending"));
  const step = shownStep();
  const fault = where === "next" ? (CHECKS[step]?.() ?? "") : "";
  if (fault !== "") {
    wrong(fault);
    sectionOf(step).querySelector("input, iframe")?.focus();
    return;
  }
  if (where === "next" && step === "age") answers.offered = await passIsOffered();
  const target = where === "next" ? next(step, answers) : where === "back" ? back(step, answers) : where;
  await enter(target);
}

async function enter(step) {
  trip.abort(); // whoever goes elsewhere is not taken away
  try {
    await ENTRIES[step]?.();
    show(step);
  } catch (error) {
    explain(error);
  }
}

function explain(error) {
  const why = error instanceof Refused || error instanceof NoLine ? error.code : "other";
  wrong(words(hasWords(`problem.${why}`) ? `problem.${why}` : "problem.other"));
}

function startAdding() {
  Object.assign(answers, { adding: true });
  Object.assign(known, { platforms: null, list: null });
  chosen.forget();
  show("choose");
}

function goWithout() {
  answers.without = true;
  return go("next");
}

function takeBack(item) {
  takingBack = item;
  return enter("withdraw");
}

/** One button for each photo or video that can be taken back by itself. */
function drawEach() {
  const buttons = takeable(found).map((item) => {
    const name = words("withdraw.one", { name: nameOf(item) });
    return element("button", { type: "button", class: "quiet", onclick: () => takeBack(item) }, name);
  });
  byId("each").hidden = buttons.length === 0;
  byId("each").open = false;
  byId("each").lastElementChild.replaceChildren(...buttons);
}

const GOES = { add: startAdding, without: goWithout, withdraw: () => takeBack(null) };
for (const button of document.querySelectorAll("[data-go]")) {
  const { go: where } = button.dataset;
  onPress(button, "", () => (GOES[where] ?? go)(where));
}

// ---- showing the age ----------------------------------------------------------------------------

const withPass = () => !answers.without && answers.age !== "adult";

onPress(byId("show-age"), words("proof.going"), async () => {
  answers.without = false;
  if (answers.age === undefined || proof.hasPass) return go("next");
  if (!navigator.onLine) return wrong(words("problem.no_line"));
  const { signal } = (trip = new AbortController());
  try {
    const problem = await goForPass(signal);
    if (!signal.aborted) chooseAgain(problem);
  } catch (error) {
    if (!signal.aborted) explain(error);
  }
});
leaving.addEventListener("abort", () => trip.abort());

/** What kept us here, as a word of `proof.…`: whoever got there is not here to be told. */
async function goForPass(signal) {
  asking = null;
  await learn();
  if (!proof.offered) return "unavailable";
  const kept = signal.aborted ? "silent" : await proof.goForPass(whatWaits(), signal);
  if (!navigator.onLine) throw new NoLine();
  return kept;
}

/** What is to be there again when this page is: nothing of it is readable meanwhile. */
function whatWaits() {
  const { age, you, then, after } = answers;
  const waits = { age, you, then, after: after === "check" ? "where" : after };
  return { answers: waits, items: chosen.items, list: known.platforms && changesOfList() };
}

function takeUp({ answers: waited, items, list }) {
  Object.assign(answers, waited);
  for (const group of ["age", "then", "you"]) {
    const radio = document.querySelector(`input[name=${group}][value="${waited[group]}"]`);
    if (radio) radio.checked = true;
  }
  chosen.restore(items);
  known.list = list;
}

/** Every wrong or missing pass ends in a choice: try again, somebody who helps, or go on without. */
function chooseAgain(problem) {
  proof.draw();
  show("proof");
  wrong(words(`proof.${problem}`));
}

async function begin() {
  const back = await proof.cameBack();
  if (back === null) return show("leave", { focus: false });
  if (back.rest !== null) takeUp(back.rest);
  if (back.problem === null) return show("passed");
  chooseAgain(back.problem); // at once, also without a line
  await learn().then(() => proof.draw(), () => {});
}

// ---- what leaves the phone ----------------------------------------------------------------------

function itemsToSend() {
  const { ids: platforms, all, locations } = pickedPlatforms();
  // A case may leave out one that is not on the list today: what is added to it names each.
  const named = platforms.length > 0 && (answers.adding || !all);
  const where = { ...(named && { platforms }), ...(locations.length > 0 && { locations }) };
  return chosen.items.map((item) => ({ ...item, ...where }));
}

function bodyToSend() {
  const items = itemsToSend();
  if (answers.adding) return JSON.stringify({ case_key: key, items });
  const profile = proof.profile({ withPass: withPass() });
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
  if (!answers.adding) lines.push(...linesOfAge());
  lines.push(...linesOfWhere(), words(answers.adding ? "check.same_key" : "check.key"));
  byId("leaves").replaceChildren(...lines.map((line) => element("li", {}, line)));
  byId("body").textContent = JSON.stringify(JSON.parse(bodyToSend()), null, 1);
  shownProfile = proof.profile({ withPass: withPass() });
}

function linesOfAge() {
  const age = words("check.age", { band: words(`age.${answers.age}`) });
  return withPass() && proof.hasPass ? [age, words("check.pass")] : [age];
}

function linesOfWhere() {
  const { names, locations } = pickedPlatforms();
  const lines = [];
  if (names.length > 0) lines.push(words("check.apps", { names: names.join(", ") }));
  if (locations.length > 0) lines.push(words("check.links"));
  return lines;
}

async function parcelToSend() {
  const body = bodyToSend();
  if (answers.adding) return new Parcel("/v1/case/items", body);
  // Asked before a pass is taken: one may have grown too old since, or come in by another tab.
  const asShown = proof.profile({ withPass: withPass() }) === shownProfile;
  const how = asShown ? proof.chosen({ withPass: withPass() }) : null;
  if (how === null) throw new Refused(401, "age-refused");
  sending = how.pass;
  return new Parcel("/v1/reports", body, sending && { Authorization: sending.text });
}

onPress(byId("send"), words("check.sending"), async () => {
  try {
    parcel ??= await parcelToSend();
    await parcel.send();
    sent();
  } catch (error) {
    await notSent(error);
  }
});

/** Nothing is lost: what was chosen stays, and so does a pass that was not what was wrong. */
async function notSent(error) {
  if (isUnclear(error)) {
    unsure = true;
    return explain(error);
  }
  const ageWasWrong = AGE_WAS_WRONG.has(error.code);
  if (unsure && !answers.adding && (ageWasWrong || error.code === "case-key-taken")) {
    const there = await arrived();
    if (there !== false) return there === true ? sent({ before: true }) : explain(there);
  }
  const problem = sending === null ? "none" : "not_taken";
  if (ageWasWrong) sending = null; // what was refused is of no more use
  dropParcel();
  if (ageWasWrong && proof.offered) {
    answers.after = "check";
    return chooseAgain(problem);
  }
  if (error.code === "case-key-taken") {
    newCase();
    await enter("check");
  }
  explain(error);
}

/** No answer, or one that does not say whether anything was taken. */
const isUnclear = (error) => !(error instanceof Refused) || error.status >= 500;

/** Whether our key opens a case, which is then that of a report whose answer was lost; or why not. */
async function arrived() {
  try {
    await openCase(key);
    return true;
  } catch (error) {
    return isUnclear(error) ? error : false;
  }
}

function newCase() {
  code = key = null;
  unsure = false;
}

/** What was not sent is made anew; the pass in it may still count, and the service will say. */
function dropParcel() {
  proof.putBack(sending);
  parcel = sending = null;
}

/** `before`: not by this press, but by one whose answer was lost. */
function sent({ before = false } = {}) {
  parcel = sending = null;
  unsure = false;
  chosen.forget();
  byId("body").textContent = "";
  if (answers.adding) {
    show("added");
    return;
  }
  showCode(true);
  show("code");
  if (before) wrong(words("code.arrived"));
  pauseKept();
}

/** The button is where Send was: an impatient tap on that must not take the code away. */
function pauseKept() {
  byId("kept").setAttribute("aria-disabled", "true"); // and not `disabled`: Tab is to find it
  setTimeout(() => byId("kept").removeAttribute("aria-disabled"), HASTE_MS);
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
  const done = words((await copied()) ? "code.copied" : "code.marked");
  say(done);
  byId("copy").textContent = done;
  setTimeout(() => (byId("copy").textContent = words("code.copy")), 3000);
});

/** Whether the browser let us; where it does not, the digits are marked for their own hand. */
async function copied() {
  try {
    await navigator.clipboard.writeText(code);
    return true;
  } catch {
    showCode(true);
    getSelection().selectAllChildren(byId("code"));
    return false;
  }
}

// ---- the case -----------------------------------------------------------------------------------

async function look() {
  try {
    drawCase((found = await openCase(key)));
    return true;
  } catch (error) {
    explain(error);
    return false;
  }
}

onPress(byId("kept"), "", async () => {
  if (byId("kept").getAttribute("aria-disabled") === "true") return;
  if (!(await look())) return;
  byId("code").textContent = ""; // it can be asked for again while this page is there
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
    await learn();
    newCase(); // the code of another case, if there was one, is not this one's
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
    found = await (takingBack === null ? withdrawCase(key) : withdrawItem(key, takingBack.number));
    drawCase(found);
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
await begin();

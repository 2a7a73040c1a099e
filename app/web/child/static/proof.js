/** Showing an age without showing who one is: what is offered, the way to a pass, and the way back. */
import { PASS, WORD, passOffer, takesWord } from "./age.js";
import { forgetAway, isAway, letterInAddress, putAway, takeBack, withLetter } from "./away.js";
import { byId } from "./elements.js";
import { Passes, tidy, today } from "./passes.js";
import { authorization, blind, finalize, fromText, toText } from "./privacy-pass.js";
import { answers, opened } from "./reach.js";

const VERSION = 1;
const WITH_SPARES = 3;
const PROBLEMS = new Set(["refused", "limit", "unavailable", "stopped"]);

/** What can be shown to the service, and what is shown. */
export class Proof {
  #passes = new Passes();
  #offer = null;
  #word = false;
  #learnt = false;

  /** Takes in what the service said it accepts. */
  learn({ profiles }) {
    this.#offer = passOffer(profiles);
    this.#word = takesWord(profiles);
    this.#learnt = true;
  }

  /** Whether a pass can be had. */
  get offered() {
    return this.#offer !== null;
  }

  get hasPass() {
    return this.offered && this.#passes.any;
  }

  /** Leaves on the screen only what can be chosen: both ways where nobody could be asked yet. */
  draw() {
    const onlyPass = this.#learnt && !this.#word;
    byId("show-age").hidden = this.#learnt && !this.offered;
    byId("spares").hidden = !this.offered;
    byId("skip").hidden = onlyPass;
    document.querySelector("[data-go=without]").hidden = onlyPass;
  }

  /** { profile, pass } to send, or null where there is nothing that the service takes. */
  chosen({ withPass }) {
    if (withPass && this.hasPass) return { profile: PASS, pass: this.#passes.take() };
    return this.#word ? { profile: WORD, pass: null } : null;
  }

  /** The profile that chosen() would give, with nothing taken. */
  profile({ withPass }) {
    return withPass && this.hasPass ? PASS : WORD;
  }

  putBack(pass) {
    if (pass !== null) this.#passes.putBack(pass);
  }

  /**
   * Opens the page that gives passes; `rest` is what this page must know when it comes back. Comes
   * to an end only if we stay, and nothing waits then; what kept us, as a word of `proof.…`: the page
   * does not answer, this phone keeps nothing, or `signal` calls it off.
   */
  async goForPass(rest, signal) {
    const { pass_url: page } = this.#offer;
    const keep = byId("keep-spares").checked;
    const [made, there] = await Promise.all([this.#blind(keep), isThere(page, signal)]);
    if (!there || signal.aborted) return "silent";
    const secrets = made.map(({ secret }) => secret);
    const state = await putAway({ rest, secrets, keep, day: today() });
    if (state === null) return "no_room";
    const letter = {
      v: VERSION,
      key: toText(made[0].keyId),
      blinded: made.map(({ blinded }) => toText(blinded)),
      back: `${location.origin}/${document.documentElement.lang}`,
      state,
    };
    if (!signal.aborted) await opened(withLetter(page, letter), signal);
    forgetAway();
    return "silent";
  }

  async #blind(keep) {
    const { challenge, token_key: key } = this.#offer;
    const made = [];
    while (made.length < (keep ? WITH_SPARES : 1)) {
      made.push(await blind(fromText(challenge), fromText(key)));
    }
    return made;
  }

  /**
   * { rest, problem } if this page was opened by coming back, otherwise null. `rest` is null where
   * what came back was not ours; `problem` where there is no pass, as a word of `proof.…`.
   */
  async cameBack() {
    tidy();
    const letter = letterInAddress();
    if (letter === undefined || (letter === null && !isAway())) {
      forgetAway();
      return null;
    }
    const away = await takeBack(letter?.state);
    if (away === null) return { rest: null, problem: "lost" };
    return { rest: away.rest, problem: await this.#problemOf(letter, away) };
  }

  async #problemOf({ v, problem, signed }, { secrets, keep, day }) {
    if (v === VERSION && PROBLEMS.has(problem)) return problem;
    if (today() - day > 1) return "expired";
    const texts = await passesOf(secrets, v === VERSION && Array.isArray(signed) ? signed : []);
    if (texts.length === 0) return "broken";
    this.#passes.hold(texts.map((text) => ({ day, text })), { keep });
    return null;
  }
}

/** Whether the page's server answers where the operator lets us ask it; true where nobody may. */
async function isThere(page, signal) {
  const { asks } = byId("show-age").dataset;
  const ours = asks && new URL(asks).origin === new URL(page).origin;
  return !ours || answers(asks, signal);
}

/** Of what was signed, all that verifies. */
async function passesOf(secrets, signed) {
  const texts = [];
  for (const [at, secret] of secrets.entries()) {
    try {
      texts.push(authorization(await finalize(secret, fromText(signed[at]) ?? new Uint8Array())));
    } catch {
      // One that does not verify is thrown away; the others may.
    }
  }
  return texts;
}

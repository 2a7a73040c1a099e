/**
 * Passes that say 'under 18'. They live as long as this page; on the phone they are kept only when
 * asked, and there until they are used, their two days are over, or somebody leaves.
 */
const PLACE = "n"; // says nothing to whoever looks at what sites have kept
const DAY_MS = 86_400_000;
const COUNTS_FOR = 2; // the service takes today's passes and yesterday's

/** UTC days since 1970, by the phone's clock. */
export const today = () => Math.floor(Date.now() / DAY_MS);

/** Passes are { day, text }: the day they were asked for, and the header that shows them. */
export class Passes {
  #inHand = [];

  /** Whether there is one that still counts. */
  get any() {
    return [...this.#inHand, ...kept()].some(counts);
  }

  /** Takes new ones in: the first for now, the others onto the phone if that was asked for. */
  hold([first, ...others], { keep }) {
    this.#inHand.push(first);
    try {
      if (keep) keepAll([...kept(), ...others]);
    } catch {
      keep = false; // this phone lets nothing be kept
    }
    if (!keep) this.#inHand.push(...others);
  }

  /** One to use, or null. It is gone from here: a pass counts once. */
  take() {
    const own = this.#inHand.filter(counts);
    const onPhone = own.length > 0 ? [] : kept().filter(counts);
    const [pass = null, ...others] = [...own, ...onPhone];
    this.#inHand = own.slice(1);
    if (onPhone.length > 0) keepAll(others);
    return pass;
  }

  /** Takes back one that was not used after all. */
  putBack(pass) {
    this.#inHand.unshift(pass);
  }
}

const counts = ({ day }) => Math.abs(today() - day) < COUNTS_FOR;

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return found.filter(({ day, text }) => Number.isInteger(day) && typeof text === "string");
  } catch {
    return []; // nothing may be kept here, or what was kept is not ours
  }
}

function keepAll(passes) {
  const good = passes.filter(counts);
  if (good.length === 0) localStorage.removeItem(PLACE);
  else localStorage.setItem(PLACE, JSON.stringify(good));
}

/** Takes away what has had its days. */
export function tidy() {
  try {
    if (localStorage.getItem(PLACE) !== null) keepAll(kept());
  } catch {
    // Nothing may be kept here, so nothing is.
  }
}

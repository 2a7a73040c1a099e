/** The words of the page's language, as the server put them into the page. */
const found = new Map(
  Array.from(document.querySelectorAll("#words [data-word]"), (span) => [
    span.dataset.word,
    span.textContent,
  ]),
);

/** One sentence, its {places} filled. */
export function words(key, values = {}) {
  const sentence = found.get(key) ?? found.get("problem.other");
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const hasWords = (key) => found.has(key);

/** Read out to whoever listens to the page. */
export function say(sentence) {
  document.getElementById("said").textContent = sentence;
}

/** A date of the service (2026-11-22) as this language writes it. */
export function dayInWords(day) {
  const { lang } = document.documentElement;
  const format = new Intl.DateTimeFormat(lang === "en" ? "en-GB" : lang, {
    dateStyle: "long",
    timeZone: "UTC",
  });
  return format.format(new Date(`${day}T00:00:00Z`));
}

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

/** A date of the service (2026-11-22) in words. Not every browser knows how Welsh writes one. */
export function dayInWords(date) {
  const [year, month, day] = date.split("-").map(Number);
  return words("date.day", { day, month: words(`date.month_${month}`), year });
}

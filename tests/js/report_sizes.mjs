/** How long reports get: for photos x hashes, and videos x frames, the bytes of their JSON. */
import { hashesOf } from "../../app/web/child/static/letters.js";
import { LADDER } from "../../hashing/device/ladder.js";

const names = ["original", ...LADDER];
const hex = "f".repeat(64);
const digests = { md5: hex.slice(32), sha256: hex };
const photo = (budget) => ({
  kind: "photo",
  pdq512: { hex, quality: 100 },
  variants: names.slice(0, budget).map((name) => ({ name, hex, quality: 100 })),
  ...digests,
});
const video = (budget) => ({
  kind: "video",
  vpdq: Array.from({ length: budget }, (_, at) => `${at * 600},100,${hex},${at * 10}.000\n`).join(""),
  ...digests,
});

const rows = [];
for (const made of [photo, video]) {
  for (const budget of [16, 32, 64, 125]) {
    const { kind } = made(budget);
    const item = { kind, hashes: hashesOf(made(budget)) };
    for (const files of [1, 2, 5, 10, 20, 35, 50]) {
      const items = Array.from({ length: files }, () => item);
      const age = { profile: "declared-v1", band: "was_under_18" };
      const body = JSON.stringify({ case_key: hex, age, items });
      rows.push({ kind, files, hashes: files * (budget + (kind === "photo" ? 3 : 2)), bytes: body.length });
    }
  }
}
console.log(JSON.stringify(rows));

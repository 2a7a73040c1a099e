/**
 * The box: the one place where a photo is opened. It has no origin and no network, and says only
 * what letters.js lets through.
 */
import { DeviceHasher } from "/device/hasher.js";
import { hashesOf } from "./letters.js";
import { onThreeShifts } from "./shifts.js";

const input = document.getElementById("file");
const budget = Number(input.dataset.budget);
const most = Number(input.dataset.most);
const hasher = new DeviceHasher();
let stopped = new Set();
let underWay = null;

const say = (letter) => parent.postMessage(letter, "*");

async function hashAll(chosen) {
  const files = chosen.slice(0, most);
  stopped = new Set();
  say({ is: "begun", files: files.length });
  if (chosen.length > most) say({ is: "too_many" });
  for (const file of files.keys()) {
    if (stopped.has(file)) say({ is: "refused", file, code: "stopped" });
    else await hashOne(files[file], file);
  }
  say({ is: "ended" });
}

async function hashOne(chosen, file) {
  underWay = file;
  const onProgress = (share) => say({ is: "progress", file, percent: Math.floor(share * 100) });
  try {
    const result = await hasher.hash(chosen, { budget, onProgress });
    say({ is: "hashed", file, kind: result.kind, hashes: hashesOf(result) });
  } catch (error) {
    say({ is: "refused", file, code: error.code ?? "went_wrong" });
  } finally {
    underWay = null;
  }
}

input.addEventListener("change", async () => {
  const files = [...input.files];
  if (files.length === 0) return;
  input.disabled = true;
  await hashAll(files);
  input.value = "";
  input.disabled = false;
});
addEventListener("message", ({ source, data }) => {
  if (source !== parent) return;
  if (data === "ready") say({ is: "ready" });
  if (!Number.isInteger(data?.stop)) return;
  stopped.add(data.stop);
  if (data.stop === underWay) hasher.stop();
});
onThreeShifts(() => say({ is: "leave" }));
input.disabled = false;
say({ is: "ready" });

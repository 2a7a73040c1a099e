/** In a sandboxed frame of opaque origin: hashes the file it is handed, answers its parent. */
import { DeviceHasher } from "/hashing/device/hasher.js";

addEventListener("message", async ({ data }) => {
  const answer = { origin: self.origin };
  await fetch("/tests/js/blank.html").catch(() => (answer.offline = true));
  await new DeviceHasher().hash(data.file, { budget: data.budget }).then(
    (result) => (answer.result = result),
    (error) => (answer.code = error.code),
  );
  parent.postMessage(answer, "*");
});
parent.postMessage("ready", "*");

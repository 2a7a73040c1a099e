/** Shift three times within five seconds. */
const WITHIN_MS = 5000;
const PRESSES = 3;

/** Calls `leave` at the third press and `nearly(left)` before it. Any other key starts anew. */
export function onThreeShifts(leave, nearly = () => {}) {
  let presses = [];
  addEventListener("keydown", (event) => {
    if (event.repeat) return;
    if (event.key !== "Shift") {
      presses = [];
      return;
    }
    presses = [...presses.filter((at) => event.timeStamp - at < WITHIN_MS), event.timeStamp];
    if (presses.length >= PRESSES) leave();
    else nearly(PRESSES - presses.length);
  });
}

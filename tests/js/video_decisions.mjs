/** The decisions of video.js on made-up samples and frames. */
import { frameASecond, keptFrames, vpdqText } from "../../hashing/device/video.js";

const samples = (rate, count) => Array.from({ length: count }, (_, i) => ({ time: i / rate }));
const frame = (number, hex, quality = 80) => ({ number, hex, quality, time: number / 30 });
const zero = "0".repeat(64),
  ones = "f".repeat(64);
const kept = keptFrames([
  frame(0, zero),
  frame(30, ones),
  frame(60, `${"f".repeat(63)}0`),
  frame(75, zero, 49),
  frame(90, zero),
  frame(120, ones, 50),
  frame(120, zero),
]);
const long = Array.from({ length: 200 }, (_, at) => frame(at * 30, at % 2 ? ones : zero));
console.log(
  JSON.stringify({
    thinned: keptFrames(long, 8),
    most: keptFrames(long).length,
    thirty: frameASecond(samples(30, 70)),
    slow: frameASecond(samples(0.5, 3)),
    kept,
    text: vpdqText([
      { number: 0, quality: 100, hex: zero, time: 0 },
      { number: 30, quality: 77, hex: ones, time: 1.001 },
    ]),
  }),
);

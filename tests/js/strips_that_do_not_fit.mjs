/** What each misuse of the hasher is answered with. */
import { PictureHasher } from "../../hashing/device/pdq.js";

const pixels = (rows) => new Uint8ClampedArray(rows * 8 * 4);
const misuses = [
  () => new PictureHasher(0, 5),
  () => new PictureHasher(5.5, 5),
  () => new PictureHasher(NaN, 5),
  () => new PictureHasher(8, 8).push(pixels(9), 9),
  () => new PictureHasher(8, 8).push(pixels(3), 4),
  () => {
    const hasher = new PictureHasher(8, 8);
    hasher.push(pixels(7), 7);
    hasher.finish();
  },
];
console.log(
  JSON.stringify(
    misuses.map((misuse) => {
      try {
        misuse();
        return "nothing";
      } catch (error) {
        return error.constructor.name;
      }
    }),
  ),
);

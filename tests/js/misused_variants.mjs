/**
 * What the variant maker answers to names and budgets it cannot serve, and to pictures with nothing
 * to say.
 */
import { hashPixels } from "../../hashing/device/pdq.js";
import { VariantMaker, variantsOf } from "../../hashing/device/variants.js";

const picture = (side, value) =>
  Uint8ClampedArray.from({ length: side * side * 4 }, (_, i) => value(i));
const hashed = hashPixels(
  picture(100, (i) => (i * 2654435761) >>> 24),
  100,
  100,
  { wantPlane: true },
);
const maker = new VariantMaker(hashed, 100, 100);

const outcome = (attempt) => {
  try {
    return attempt();
  } catch (error) {
    return error.constructor.name;
  }
};
const names = [
  "",
  "crop",
  "zoom-3",
  "crop-3-3-3-3.sideways",
  "Crop-3-3-3-3",
  "crop-3-3-3-3-white-x",
  "constructor-1",
  "crop-3",
  "crop-3-3-3-3-3",
  "crop-60-0-40-0",
  "shape-0-1",
  "bars-1-0-black",
];
const refused = [
  ...names.map((name) => outcome(() => maker.make(name).hex)),
  ...[0, -1, 1.5, NaN].map((budget) =>
    outcome(() => variantsOf(hashed, 100, 100, { budget }).length),
  ),
];
const alone = (side, value) =>
  variantsOf(hashPixels(picture(side, value), side, side, { wantPlane: true }), side, side);
console.log(
  JSON.stringify({
    refused,
    flat: alone(100, () => 7),
    tiny: alone(3, (i) => i * 9),
    small: alone(5, (i) => (i * 2654435761) >>> 24).length,
  }),
);

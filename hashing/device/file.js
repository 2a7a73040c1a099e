/** One file, whatever it is, to hashes. */
import { hashPhoto } from "./photo.js";
import { Refusal } from "./refusals.js";
import { sniff } from "./sniff.js";
import { hashVideo } from "./video.js";

/** What `hashPhoto` or `hashVideo` gives; a Refusal for a file that is neither. */
export async function hashFile(file, options) {
  const { kind } = await sniff(file);
  if (kind === "unknown") throw new Refusal("unknown_kind");
  return kind === "video" ? hashVideo(file, options) : hashPhoto(file, options);
}

/**
 * Every reason a file is not hashed: a stable code, and one plain, kind sentence or two to show
 * (tested: reading grade 4 or lower).
 *
 * Nothing about the file is in them. Pages may say it in other words or languages, by code.
 */
export const SENTENCES = Object.freeze({
  empty_file: "This file has nothing in it. You can try another one.",
  unreadable_file: "We could not read this file. It may have moved. Please pick it again.",
  unknown_kind: "We can't open this as a photo or a video. You can try another one.",
  damaged_picture: "Part of this photo is missing. Do you have another copy of it?",
  heic_picture: "This kind of photo does not open here. Try it on the phone that took it.",
  animated_picture:
    "This picture moves. We can only take still ones and videos. A helper can still help you.",
  tiny_picture: "This photo is too small to find again. Do you have a bigger one?",
  huge_picture: "This photo is too big for this phone. Do you have a smaller copy?",
  plain_picture:
    "There is not enough to see in this photo for us to find it again. A helper can still help you.",
  hidden_pixels:
    "Your browser hides the photo from us to keep you safe. Please try one more browser.",
  no_room: "Your phone has no room for this right now. Close some apps and try again.",
  stopped: "You stopped this. Nothing was sent.",
  went_wrong: "That did not work, and it is not your fault. Please try again.",
});

/** A file that is not hashed, and why: `code` is a key of SENTENCES, the message its sentence. */
export class Refusal extends Error {
  constructor(code) {
    super(SENTENCES[code]);
    this.name = "Refusal";
    this.code = code;
  }
}

/**
 * The refusal behind any error: itself, a stop, a file that went away, no memory, or none of these.
 */
export function refusalOf(error) {
  if (error instanceof Refusal) return error;
  const codes = {
    AbortError: "stopped",
    NotReadableError: "unreadable_file",
    NotFoundError: "unreadable_file",
    RangeError: "no_room",
  };
  return new Refusal(codes[error?.name] ?? "went_wrong");
}

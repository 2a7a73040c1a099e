/** The case code, made here and never sent; the service sees only the key made from it. */

const DIGITS = 16;

/** Sixteen random digits in groups of four. */
export function newCode() {
  let digits = "";
  while (digits.length < DIGITS) {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    if (byte < 250) digits += byte % 10; // 250 to 255 would favour some digits
  }
  return digits.match(/.{4}/g).join(" ");
}

/** The sixteen digits of what was typed, in whatever digits and spacing, or null. */
export function digitsOf(typed) {
  const plain = typed
    .replace(/[٠-٩]/g, (digit) => digit.charCodeAt(0) - 0x660)
    .replace(/[۰-۹]/g, (digit) => digit.charCodeAt(0) - 0x6f0)
    .replace(/[\s\u200e\u200f-]/g, "");
  return /^[0-9]{16}$/.test(plain) ? plain : null;
}

/** The case key by the recipe of /v1/age/challenge, 64 hexadecimal digits. */
export async function keyOf(code, { kdf, salt, rounds, length }) {
  if (kdf !== "PBKDF2-HMAC-SHA256") throw new Error("An unknown recipe.");
  const text = new TextEncoder().encode(digitsOf(code));
  const secret = await crypto.subtle.importKey("raw", text, "PBKDF2", false, ["deriveBits"]);
  const bits = await crypto.subtle.deriveBits(
    { name: "PBKDF2", hash: "SHA-256", salt: bytesOf(salt), iterations: rounds },
    secret,
    length * 8,
  );
  return hexOf(new Uint8Array(bits));
}

const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

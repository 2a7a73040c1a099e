/**
 * The device's part of Privacy Pass, token type 2 (RFC 9577, RFC 9578): a token that its issuer
 * signs without seeing it, by blind RSA as RFC 9474 has it (RSABSSA-SHA384-PSS-Deterministic).
 *
 * It asks nobody and keeps nothing. BigInt takes a time that depends on the numbers: whoever could
 * measure it inside the browser could read the numbers themselves.
 */
const TYPE = [0, 2];
const CONTEXTS = new Set([0, 32]);
const MODULUS_BYTES = 256;
const EXPONENT = 65537n;
// RFC 9578, 6.5: id-RSASSA-PSS with SHA-384, MGF1-SHA-384 and salt 48 around a 2048-bit modulus.
// DER has one spelling, and the key's name is the digest of exactly these bytes.
const KEY_HEAD = fromHex(
  "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d" +
    "010108300b0609608648016503040202a2030201300382010f003082010a0282010100",
);
const KEY_TAIL = fromHex("0203010001");
const HASH = "SHA-384";
const HASH_BYTES = 48;
const SALT_BYTES = 48;
const NONCE_BYTES = 32;
const SIGNED_BYTES = 98; // type, nonce, digest of the challenge, name of the key
const TOKEN_BYTES = SIGNED_BYTES + MODULUS_BYTES;
/** A product of two large primes shares no factor with these. */
const SMALL_PRIMES = primesBelow(2000).reduce((product, prime) => product * prime, 1n);

/** Every reason for which there is no token. */
export const PASS_CODES = Object.freeze([
  "challenge_shape", // not a challenge of type 2
  "key_shape", // not a type 2 key, byte for byte
  "key_weak", // a modulus that nobody's two primes gave
  "secret_shape", // what blind() gave was altered
  "signature_length",
  "signature_range", // not below the modulus
  "signature_wrong", // the key did not sign it
  "token_shape",
]);

/** `code` is one of PASS_CODES. Nothing of keys or tokens is in it. */
export class PassRefused extends Error {
  constructor(code) {
    super(code);
    this.name = "PassRefused";
    this.code = code;
  }
}

/**
 * A new token, blinded for its issuer.
 *
 * `challenge` and `tokenKey` are the bytes (Uint8Array) of a TokenChallenge and of the key's SPKI;
 * `blinded` is 256 bytes to have signed, `keyId` names the key. `secret` is for finalize() alone:
 * plain text values, so that it can be put away. Throws PassRefused.
 */
export async function blind(challenge, tokenKey) {
  checkChallenge(challenge);
  const n = modulusOf(tokenKey);
  const keyId = await digest("SHA-256", tokenKey);
  const nonce = random(NONCE_BYTES);
  const message = joined(TYPE, nonce, await digest("SHA-256", challenge), keyId);
  const encoded = numberOf(await encodedForPss(message, random(SALT_BYTES)));
  if (inverse(encoded, n) === null) throw new PassRefused("key_weak");
  const [factor, back] = blindingFactor(n);
  const blinded = bytesOf((encoded * power(factor, EXPONENT, n)) % n, MODULUS_BYTES);
  const secret = { key: toText(tokenKey), message: toText(message), back: back.toString(16) };
  return { keyId, blinded, secret };
}

/**
 * The token, 354 bytes, from what the issuer signed. It is verified here, so that a token that
 * nobody would take is never kept. Throws PassRefused.
 */
export async function finalize(secret, signature) {
  const { n, tokenKey, message, back } = opened(secret);
  if (signature.length !== MODULUS_BYTES) throw new PassRefused("signature_length");
  const blindly = numberOf(signature);
  if (blindly >= n) throw new PassRefused("signature_range");
  const token = joined(message, bytesOf((blindly * back) % n, MODULUS_BYTES));
  if (!(await verifies(token, tokenKey))) throw new PassRefused("signature_wrong");
  return token;
}

/** Whether the key signed the token. */
export async function verifies(token, tokenKey) {
  const key = { kty: "RSA", n: toText(modulusBytes(tokenKey)).replace(/=+$/, ""), e: "AQAB" };
  const name = { name: "RSA-PSS", hash: HASH, saltLength: SALT_BYTES };
  const imported = await crypto.subtle.importKey("jwk", key, name, false, ["verify"]);
  const [signed, signature] = [token.slice(0, SIGNED_BYTES), token.slice(SIGNED_BYTES)];
  return crypto.subtle.verify(name, imported, signature, signed);
}

/** The header that shows a token, with the padding that RFC 9577 asks for. */
export function authorization(token) {
  if (token.length !== TOKEN_BYTES) throw new PassRefused("token_shape");
  return `PrivateToken token="${toText(token)}"`;
}

/** base64url, padded. */
export function toText(bytes) {
  const plain = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_");
}

/** The bytes of base64url, padded or not; null for anything that has another spelling. */
export function fromText(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*={0,2}$/.test(text)) return null;
  const plain = text.replace(/=+$/, "");
  if (plain.length % 4 === 1 || (plain !== text && text.length % 4 !== 0)) return null;
  const made = atob(plain.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = Uint8Array.from(made, (character) => character.charCodeAt(0));
  return toText(bytes).replace(/=+$/, "") === plain ? bytes : null;
}

// ---- shapes -------------------------------------------------------------------------------------

/** u16 type, u16-sized issuer, context of 0 or 32 bytes, u16-sized origin (RFC 9577, 2.1.1). */
function checkChallenge(bytes) {
  const issuer = bytes[2] * 256 + bytes[3];
  const context = 4 + issuer;
  const origin = context + 1 + bytes[context];
  const end = origin + 2 + bytes[origin] * 256 + bytes[origin + 1];
  const typed = bytes[0] === TYPE[0] && bytes[1] === TYPE[1];
  if (!typed || issuer === 0 || !CONTEXTS.has(bytes[context]) || end !== bytes.length) {
    throw new PassRefused("challenge_shape");
  }
}

function modulusBytes(tokenKey) {
  const modulus = tokenKey.slice(KEY_HEAD.length, KEY_HEAD.length + MODULUS_BYTES);
  const whole = toText(joined(KEY_HEAD, modulus, KEY_TAIL)) === toText(tokenKey);
  if (!whole || modulus.length !== MODULUS_BYTES) throw new PassRefused("key_shape");
  return modulus;
}

function modulusOf(tokenKey) {
  const bytes = modulusBytes(tokenKey);
  const n = numberOf(bytes);
  if (bytes[0] < 0x80 || inverse(SMALL_PRIMES % n, n) === null) throw new PassRefused("key_weak");
  return n;
}

function opened(secret) {
  const tokenKey = fromText(secret?.key);
  const message = fromText(secret?.message);
  const hex = /^[0-9a-f]{1,512}$/.test(secret?.back) ? secret.back : "0";
  if (tokenKey === null || message?.length !== SIGNED_BYTES || hex === "0") {
    throw new PassRefused("secret_shape");
  }
  return { n: modulusOf(tokenKey), tokenKey, message, back: BigInt(`0x${hex}`) };
}

// ---- RFC 8017, 9.1.1: EMSA-PSS-ENCODE -----------------------------------------------------------

/** For a modulus of 2048 bits: 256 bytes whose first bit is 0. */
async function encodedForPss(message, salt) {
  const hash = await digest(HASH, joined(new Uint8Array(8), await digest(HASH, message), salt));
  const block = new Uint8Array(MODULUS_BYTES - HASH_BYTES - 1);
  block[block.length - SALT_BYTES - 1] = 1;
  block.set(salt, block.length - SALT_BYTES);
  const mask = await mgf1(hash, block.length);
  const masked = block.map((byte, at) => byte ^ mask[at]);
  masked[0] &= 0x7f;
  return joined(masked, hash, [0xbc]);
}

async function mgf1(seed, length) {
  const blocks = [];
  for (let counter = 0; blocks.length * HASH_BYTES < length; counter++) {
    blocks.push(await digest(HASH, joined(seed, [0, 0, 0, counter])));
  }
  return joined(...blocks).subarray(0, length);
}

// ---- numbers ------------------------------------------------------------------------------------

/** A number drawn evenly from 1 to n - 1 that has an inverse, and the inverse. */
function blindingFactor(n) {
  for (;;) {
    const factor = numberOf(random(MODULUS_BYTES));
    const back = factor > 0n && factor < n ? inverse(factor, n) : null;
    if (back !== null) return [factor, back];
  }
}

function power(base, exponent, n) {
  let result = 1n;
  for (let square = base % n, left = exponent; left > 0n; left >>= 1n, square = (square * square) % n) {
    if (left & 1n) result = (result * square) % n;
  }
  return result;
}

/** By Euclid; null where the two numbers share a factor. */
function inverse(number, n) {
  let [left, right, one, other] = [number % n, n, 1n, 0n];
  while (left > 1n) {
    const times = right / left;
    [left, right, one, other] = [right - times * left, left, other - times * one, one];
  }
  return left === 1n ? ((one % n) + n) % n : null;
}

function primesBelow(limit) {
  const found = [];
  for (let number = 2n; number < limit; number++) {
    if (found.every((prime) => number % prime !== 0n)) found.push(number);
  }
  return found;
}

const random = (length) => crypto.getRandomValues(new Uint8Array(length));
const digest = async (name, bytes) => new Uint8Array(await crypto.subtle.digest(name, bytes));
const numberOf = (bytes) => BigInt(`0x${hexOf(bytes) || "0"}`);
const bytesOf = (number, length) => fromHex(number.toString(16).padStart(length * 2, "0"));
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function fromHex(hex) {
  return Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));
}

function joined(...parts) {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/**
 * MD5 and SHA-256 of a file, read piece by piece, so that a long video never sits in memory whole.
 *
 * WebCrypto digests only what is in memory at once and knows no MD5. WebAssembly would be about
 * twice as fast but asks the page's policy for 'wasm-unsafe-eval'; these two are plain JavaScript
 * after FIPS 180-4 and RFC 1321. MD5 stands here as a name that platforms know exact copies by,
 * never as a protection.
 */
const BLOCK = 64;
const PIECE = 1 << 20;

/** What both hashes share: 64-byte blocks, then one bit, zeros and the length. */
class BlockHash {
  #words;
  #view;
  #state;
  #compress;
  #littleEndian;
  #buffer = new Uint8Array(BLOCK);
  #filled = 0;
  #bytes = 0;

  constructor(state, compress, littleEndian) {
    this.#state = state;
    this.#compress = compress;
    this.#littleEndian = littleEndian;
    this.#words = new Int32Array(16);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Takes any number of bytes. */
  update(bytes) {
    this.#bytes += bytes.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(BLOCK - this.#filled, bytes.length);
      this.#fill(bytes.subarray(0, at));
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (; this.#filled === 0 && at + BLOCK <= bytes.length; at += BLOCK) this.#block(view, at);
    if (at < bytes.length) this.#fill(bytes.subarray(at));
    return this;
  }

  /** Hex of everything so far; the hash is used up by it. */
  hex() {
    const bits = this.#bytes * 8;
    const padding = new Uint8Array((this.#filled < 56 ? 56 : 120) - this.#filled + 8);
    const tail = new DataView(padding.buffer, padding.length - 8);
    const high = Math.floor(bits / 2 ** 32);
    padding[0] = 0x80;
    tail.setUint32(this.#littleEndian ? 4 : 0, high, this.#littleEndian);
    tail.setUint32(this.#littleEndian ? 0 : 4, bits >>> 0, this.#littleEndian);
    this.update(padding);
    const out = new DataView(new ArrayBuffer(this.#state.length * 4));
    this.#state.forEach((word, i) => out.setInt32(i * 4, word, this.#littleEndian));
    return Array.from(new Uint8Array(out.buffer), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join("");
  }

  #fill(bytes) {
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
    if (this.#filled < BLOCK) return;
    this.#block(this.#view, 0);
    this.#filled = 0;
  }

  #block(view, at) {
    const words = this.#words;
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + i * 4, this.#littleEndian);
    this.#compress(this.#state, words);
  }
}

/**
 * The first 32 bits of the fractional part of `root` of each of the first primes (FIPS 180-4, 4.2.2
 * and 5.3.3), exactly.
 */
function fractionsOfRoots(count, power) {
  const primes = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((p) => n % p)) primes.push(n);
  return Int32Array.from(primes, (prime) =>
    Number(BigInt.asIntN(32, rootOf(BigInt(prime) << BigInt(32 * power), power))),
  );
}

function rootOf(value, power) {
  let low = 0n,
    high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(power) <= value) low = middle;
    else high = middle;
  }
  return low;
}

const SHA_ROUNDS = fractionsOfRoots(64, 3);
const SHA_START = fractionsOfRoots(8, 2);
const schedule = new Int32Array(64);

function compressSha256(state, words) {
  const w = schedule;
  w.set(words);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15],
      y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let a = state[0],
    b = state[1],
    c = state[2],
    d = state[3],
    e = state[4],
    f = state[5],
    g = state[6],
    h = state[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + SHA_ROUNDS[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

const MD5_TURNS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
/**
 * RFC 1321, 3.4: the integer part of 2^32 * |sin(i)|, written out because Math.sin may differ
 * between engines.
 */
const MD5_SINES = new Uint32Array([
  0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
  0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
  0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
  0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
  0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
  0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
  0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
  0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
]);

function compressMd5(state, words) {
  let a = state[0],
    b = state[1],
    c = state[2],
    d = state[3];
  for (let i = 0; i < 64; i++) {
    const round = i >> 4;
    let mixed, pick;
    if (round === 0) {
      mixed = (b & c) | (~b & d);
      pick = i;
    } else if (round === 1) {
      mixed = (d & b) | (~d & c);
      pick = (5 * i + 1) & 15;
    } else if (round === 2) {
      mixed = b ^ c ^ d;
      pick = (3 * i + 5) & 15;
    } else {
      mixed = c ^ (b | ~d);
      pick = (7 * i) & 15;
    }
    const sum = (a + mixed + MD5_SINES[i] + words[pick]) | 0;
    const turn = MD5_TURNS[round * 4 + (i & 3)];
    a = d;
    d = c;
    c = b;
    b = (b + ((sum << turn) | (sum >>> (32 - turn)))) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

/** A fresh SHA-256: update(bytes) as often as needed, then hex() once. */
export const sha256 = () => new BlockHash(SHA_START.slice(), compressSha256, false);

/** A fresh MD5, used the same way. */
export const md5 = () =>
  new BlockHash(
    new Int32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]),
    compressMd5,
    true,
  );

/**
 * Both digests of a File or Blob: { md5, sha256 }, as hex.
 *
 * onProgress(share) hears 0 to 1 after every mebibyte. Throws the signal's reason when it is
 * aborted, and whatever the file says when it cannot be read.
 */
export async function digestsOf(blob, { signal, onProgress } = {}) {
  const hashes = { md5: md5(), sha256: sha256() };
  for (let at = 0; at < blob.size; at += PIECE) {
    signal?.throwIfAborted();
    const piece = new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer());
    hashes.md5.update(piece);
    hashes.sha256.update(piece);
    onProgress?.(Math.min(1, (at + PIECE) / blob.size));
  }
  signal?.throwIfAborted();
  return { md5: hashes.md5.hex(), sha256: hashes.sha256.hex() };
}

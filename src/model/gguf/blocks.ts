/** @file GGUF's quantized types whose blocks have scales of parts: K-quants, and others of 4 and 5 bits (ggml-quants.c). */

import { halfToFloat } from "../../tensor/index.ts";

/** How a type's blocks are stored. An element of part s with the integer q is d scale(s) q - dmin minimum(s). */
export interface Blocks {
  name: string;
  /** Elements and bytes of a block, and elements of a part. */
  elements: number;
  bytes: number;
  part: number;
  /** Where the half-precision factors d and dmin are. */
  d: number;
  dmin?: number;
  /** The integers of a block that begins at `at`: of part s, and of element e. */
  scale?(bytes: Uint8Array, at: number, s: number): number;
  minimum?(bytes: Uint8Array, at: number, s: number): number;
  q(bytes: Uint8Array, at: number, e: number): number;
}

/** Elements of a block of the K-quants. */
const K = 256;

/** The bits of an element of which so many lie in a byte, 32 bytes after 32 bytes. */
function spread(bytes: Uint8Array, at: number, e: number, bits: 1 | 2 | 4): number {
  const perByte = 8 / bits;
  const chunk = Math.floor(e / (32 * perByte));
  const shift = bits * ((e >> 5) % perByte);
  return (bytes[at + 32 * chunk + (e & 31)]! >> shift) & ((1 << bits) - 1);
}

/** Scales and minima of eight parts in twelve bytes, 6 bits each. */
const sixBits = {
  scale: (bytes: Uint8Array, at: number, s: number) =>
    s < 4 ? bytes[at + s]! & 63 : (bytes[at + s + 4]! & 15) | ((bytes[at + s - 4]! >> 2) & 48),
  minimum: (bytes: Uint8Array, at: number, s: number) =>
    s < 4 ? bytes[at + s + 4]! & 63 : (bytes[at + s + 4]! >> 4) | ((bytes[at + s]! >> 2) & 48),
};

/** 4 bits of an element: a byte holds those of elements i and i + half. */
function nibble(bytes: Uint8Array, at: number, e: number, half: number): number {
  const i = e % (2 * half);
  const byte = bytes[at + Math.floor(e / (2 * half)) * half + (i % half)]!;
  return i < half ? byte & 15 : byte >> 4;
}

/** The integers that four bits stand for, in types that are not linear. */
const NOT_LINEAR = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const signed = (byte: number) => (byte << 24) >> 24;
const bit = (bytes: Uint8Array, at: number, e: number) => (bytes[at + (e >> 3)]! >> (e & 7)) & 1;

/** The types by GGUF's number. */
export const blockTypes: Record<number, Blocks> = {
  6: {
    ...{ name: "Q5_0", elements: 32, bytes: 22, part: 32, d: 0 },
    q: (bytes, at, e) => (nibble(bytes, at + 6, e, 16) | (bit(bytes, at + 2, e) << 4)) - 16,
  },
  7: {
    ...{ name: "Q5_1", elements: 32, bytes: 24, part: 32, d: 0, dmin: 2 },
    // Its smallest value is added.
    minimum: () => -1,
    q: (bytes, at, e) => nibble(bytes, at + 8, e, 16) | (bit(bytes, at + 4, e) << 4),
  },
  10: {
    ...{ name: "Q2_K", elements: K, bytes: 84, part: 16, d: 80, dmin: 82 },
    scale: (bytes, at, s) => bytes[at + s]! & 15,
    minimum: (bytes, at, s) => bytes[at + s]! >> 4,
    q: (bytes, at, e) => spread(bytes, at + 16, e, 2),
  },
  11: {
    ...{ name: "Q3_K", elements: K, bytes: 110, part: 16, d: 108 },
    scale: (bytes, at, s) => {
      const low = s < 8 ? bytes[at + 96 + s]! & 15 : bytes[at + 88 + s]! >> 4;
      const high = (bytes[at + 104 + (s & 3)]! >> (2 * (s >> 2))) & 3;
      return (low | (high << 4)) - 32;
    },
    // The third bit says that nothing is taken off.
    q: (bytes, at, e) => spread(bytes, at + 32, e, 2) - 4 * (1 - spread(bytes, at, e, 1)),
  },
  12: {
    ...{ name: "Q4_K", elements: K, bytes: 144, part: 32, d: 0, dmin: 2 },
    scale: (bytes, at, s) => sixBits.scale(bytes, at + 4, s),
    minimum: (bytes, at, s) => sixBits.minimum(bytes, at + 4, s),
    q: (bytes, at, e) => spread(bytes, at + 16, e, 4),
  },
  13: {
    ...{ name: "Q5_K", elements: K, bytes: 176, part: 32, d: 0, dmin: 2 },
    scale: (bytes, at, s) => sixBits.scale(bytes, at + 4, s),
    minimum: (bytes, at, s) => sixBits.minimum(bytes, at + 4, s),
    q: (bytes, at, e) => spread(bytes, at + 48, e, 4) | (spread(bytes, at + 16, e, 1) << 4),
  },
  14: {
    ...{ name: "Q6_K", elements: K, bytes: 210, part: 16, d: 208 },
    scale: (bytes, at, s) => signed(bytes[at + 192 + s]!),
    q: (bytes, at, e) => (nibble(bytes, at, e, 64) | (spread(bytes, at + 128, e, 2) << 4)) - 32,
  },
  20: {
    ...{ name: "IQ4_NL", elements: 32, bytes: 18, part: 32, d: 0 },
    q: (bytes, at, e) => NOT_LINEAR[nibble(bytes, at + 2, e, 16)]!,
  },
  23: {
    ...{ name: "IQ4_XS", elements: K, bytes: 136, part: 32, d: 0 },
    scale: (bytes, at, s) => {
      const low = (bytes[at + 4 + (s >> 1)]! >> (4 * (s & 1))) & 15;
      const high = (bytes[at + 2 + (s >> 2)]! >> (2 * (s & 3))) & 3;
      return (low | (high << 4)) - 32;
    },
    q: (bytes, at, e) => NOT_LINEAR[nibble(bytes, at + 8, e, 16)]!,
  },
};

/** Unpacks blocks. Products have 24 bits at most, so that nothing is rounded but the difference. */
export function unpackBlocks(type: Blocks, bytes: Uint8Array, target: Float32Array): void {
  const { elements, part, scale, minimum, q } = type;
  const half = (at: number) => halfToFloat(bytes[at]! | (bytes[at + 1]! << 8));
  for (let block = 0, at = 0; at < bytes.length; block++, at += type.bytes) {
    const d = half(at + type.d);
    const dmin = type.dmin === undefined ? 0 : half(at + type.dmin);
    for (let s = 0; s < elements / part; s++) {
      const factor = d * (scale?.(bytes, at, s) ?? 1);
      const offset = dmin * (minimum?.(bytes, at, s) ?? 0);
      for (let e = s * part; e < (s + 1) * part; e++)
        target[block * elements + e] = factor * q(bytes, at, e) - offset;
    }
  }
}

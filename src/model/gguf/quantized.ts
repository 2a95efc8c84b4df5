/** @file GGUF's element types unpacked to float32: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

import { widenBrainHalves, widenHalves } from "../../tensor/index.ts";
import { blockTypes, unpackBlocks } from "./blocks.ts";

/** Elements of a block of the quantized types; each has a scale of its own. */
const BLOCK = 32;

/** How a type is stored: elements and bytes of a block, and how blocks are unpacked. */
interface ElementType {
  name: string;
  elements: number;
  bytes: number;
  unpack(bytes: ArrayBuffer, target: Float32Array): void;
}

/** The types that are read, by GGUF's number. */
export const elementTypes: Record<number, ElementType> = {
  0: {
    ...{ name: "F32", elements: 1, bytes: 4 },
    unpack: (bytes, target) => target.set(new Float32Array(bytes)),
  },
  1: {
    ...{ name: "F16", elements: 1, bytes: 2 },
    unpack: (bytes, target) => widenHalves(new Uint16Array(bytes), target),
  },
  2: {
    ...{ name: "Q4_0", elements: BLOCK, bytes: 18 },
    // scale, then 32 numbers of 4 bits: d (q - 8); a byte holds the elements i and i + 16.
    unpack: (bytes, target) => nibbles(new Uint8Array(bytes), target, 18, false),
  },
  3: {
    ...{ name: "Q4_1", elements: BLOCK, bytes: 20 },
    // scale and smallest value, then 32 numbers of 4 bits: d q + m.
    unpack: (bytes, target) => nibbles(new Uint8Array(bytes), target, 20, true),
  },
  8: {
    ...{ name: "Q8_0", elements: BLOCK, bytes: 34 },
    // scale, then 32 signed bytes: d q.
    unpack(bytes, target) {
      const scales = halvesAt(new Uint8Array(bytes), 34, 0);
      const signed = new Int8Array(bytes);
      for (let block = 0; block < scales.length; block++) {
        const scale = scales[block]!;
        const from = block * 34 + 2;
        const to = block * BLOCK;
        for (let i = 0; i < BLOCK; i++) target[to + i] = scale * signed[from + i]!;
      }
    },
  },
  30: {
    ...{ name: "BF16", elements: 1, bytes: 2 },
    unpack: (bytes, target) => widenBrainHalves(new Uint16Array(bytes), target),
  },
  ...Object.fromEntries(
    Object.entries(blockTypes).map(([code, type]) => [
      code,
      {
        ...{ name: type.name, elements: type.elements, bytes: type.bytes },
        unpack: (bytes: ArrayBuffer, target: Float32Array) =>
          unpackBlocks(type, new Uint8Array(bytes), target),
      },
    ]),
  ),
};

function nibbles(bytes: Uint8Array, target: Float32Array, stride: number, hasMinimum: boolean): void {
  const scales = halvesAt(bytes, stride, 0);
  const minima = hasMinimum ? halvesAt(bytes, stride, 2) : undefined;
  const data = stride - BLOCK / 2;
  for (let block = 0; block < scales.length; block++) {
    const scale = scales[block]!;
    const offset = minima ? minima[block]! : -8 * scale;
    const from = block * stride + data;
    const to = block * BLOCK;
    for (let i = 0; i < BLOCK / 2; i++) {
      const byte = bytes[from + i]!;
      target[to + i] = scale * (byte & 15) + offset;
      target[to + i + BLOCK / 2] = scale * (byte >> 4) + offset;
    }
  }
}

/** The half-precision number at an offset of every block. */
function halvesAt(bytes: Uint8Array, stride: number, offset: number): Float32Array {
  const halves = new Uint16Array(bytes.length / stride);
  for (let i = 0; i < halves.length; i++)
    halves[i] = bytes[i * stride + offset]! | (bytes[i * stride + offset + 1]! << 8);
  return widenHalves(halves);
}

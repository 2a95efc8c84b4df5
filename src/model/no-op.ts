/** @file Changes of a model that should change nothing: casts, and random low-rank changes of a set size. */

import { normal, type Random } from "../random.ts";
import { floats, roundToBrainHalves, widenBrainHalves } from "../tensor/index.ts";
import { plusProduct } from "./merge.ts";
import type { LoadedModel, Weights } from "./types.ts";

/** The formats that weights are commonly stored in, by how many bits of a fraction they hold. */
export type Precision = "float32" | "float16" | "bfloat16";

/** A number as it comes back from a format. */
const cast: Record<Exclude<Precision, "float32">, (x: Float32Array) => Float32Array> = {
  bfloat16: (values) => widenBrainHalves(roundToBrainHalves(values)),
  float16: toFloat16,
};

/** The model with all weights rounded to a format and read back. */
export function roundedTo(model: LoadedModel, format: Exclude<Precision, "float32">): LoadedModel {
  return mapWeights(model, (tensor) => ({ ...tensor, data: cast[format](tensor.data) }));
}

/**
 * The narrowest format that holds every weight exactly. Weights that were stored in one and read as float32 still tell: what
 * their file is called, or how it is packed, does not matter.
 */
export function precisionOf(weights: Weights): Precision {
  const held = { bfloat16: true, float16: true };
  for (const { data } of Object.values(weights)) {
    const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
    for (let i = 0; i < data.length && (held.bfloat16 || held.float16); i++) {
      if (held.bfloat16 && (bits[i]! & 0xffff) !== 0) held.bfloat16 = false;
      if (held.float16 && !isFloat16(data[i]!, bits[i]!)) held.float16 = false;
    }
  }
  return held.bfloat16 ? "bfloat16" : held.float16 ? "float16" : "float32";
}

/**
 * The model with every matrix changed by a random product B A of a given rank, isotropic, whose Frobenius norm is what
 * `sizeOf` says: as large as a real adapter's change, say, and about nothing.
 */
export function randomlyChanged(
  model: LoadedModel,
  sizeOf: (name: string) => number,
  rank: number,
  random: Random,
): LoadedModel {
  return mapWeights(model, (tensor, name) => {
    const size = sizeOf(name);
    if (tensor.shape.length !== 2 || size === 0) return tensor;
    const [M, N] = tensor.shape as [number, number];
    const R = Math.min(rank, M, N);
    const [b, a] = [gaussian([M, R], random), gaussian([R, N], random)];
    // In expectation the squared norm of a product of standard Gaussian matrices is M R N.
    return plusProduct(tensor, size / Math.sqrt(M * R * N), b, a);
  });
}

/** Frobenius norm of each tensor's change from one model to another. */
export function changeSizes(before: Weights, after: Weights): Record<string, number> {
  return Object.fromEntries(
    Object.entries(before).map(([name, { data }]) => {
      const other = after[name]?.data;
      if (other === undefined || other === data) return [name, 0];
      let squares = 0;
      for (let i = 0; i < data.length; i++) squares += (other[i]! - data[i]!) ** 2;
      return [name, Math.sqrt(squares)];
    }),
  );
}

/** Frobenius norm of each tensor. */
export function sizesOf(weights: Weights): Record<string, number> {
  return Object.fromEntries(
    Object.entries(weights).map(([name, { data }]) => {
      let squares = 0;
      for (let i = 0; i < data.length; i++) squares += data[i]! ** 2;
      return [name, Math.sqrt(squares)];
    }),
  );
}

function mapWeights(
  model: LoadedModel,
  change: (tensor: Weights[string], name: string) => Weights[string],
): LoadedModel {
  const weights = Object.entries(model.weights).map(([name, tensor]) => [name, change(tensor, name)]);
  return { ...model, weights: Object.fromEntries(weights) };
}

function gaussian(shape: number[], random: Random) {
  const tensor = floats(shape);
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = normal(random);
  return tensor;
}

/** Of the bits of a float32: the largest half-precision number, 65504, and the smallest that has a whole fraction, 2^-14. */
const [LARGEST, SMALLEST] = [0x477fe000, 0x38800000];
/** The distance of half-precision numbers below 2^-14. */
const STEP = 2 ** -24;

/** To the nearest, ties to even; beyond the range to its largest number, as a cast that saturates does. */
function toFloat16(values: Float32Array): Float32Array {
  const rounded = values.slice();
  const bits = new Uint32Array(rounded.buffer);
  for (let i = 0; i < bits.length; i++) {
    const size = bits[i]! & 0x7fffffff;
    const sign = bits[i]! & 0x80000000;
    if (size >= LARGEST) bits[i] = sign | LARGEST;
    else if (size >= SMALLEST) bits[i] = sign | ((size + 0xfff + ((size >>> 13) & 1)) & 0xffffe000);
    else {
      const steps = values[i]! / STEP;
      const whole = Math.floor(steps);
      const rest = steps - whole;
      rounded[i] = (whole + Number(rest > 0.5 || (rest === 0.5 && whole % 2 !== 0))) * STEP;
    }
  }
  return rounded;
}

function isFloat16(x: number, bits: number): boolean {
  const size = bits & 0x7fffffff;
  if (size >= SMALLEST) return size <= LARGEST && (size & 0x1fff) === 0;
  return Number.isInteger(x / STEP);
}

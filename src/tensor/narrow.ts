/** @file Matrices that are kept in fewer bits than the float32 numbers that they are read as. */

import { roundToBrainHalves, widenBrainHalves } from "./halves.ts";
import type { FloatTensor } from "./types.ts";

/** How a matrix is kept: in bfloat16, or as whole numbers from -127 to 127 with a scale for each row. */
export type Narrow = "bfloat16" | "int8";

/**
 * A float32 tensor that is kept narrower. Its numbers are made anew, all of them, each time that they are asked for: take `data`
 * once, and let go of it soon.
 */
export abstract class NarrowTensor implements FloatTensor {
  readonly dtype = "float32";
  readonly shape: readonly number[];
  abstract readonly kept: Narrow;

  constructor(shape: readonly number[]) {
    this.shape = shape;
  }

  abstract get data(): Float32Array;
}

/** In bfloat16, the upper halves of float32 numbers. */
export class BrainTensor extends NarrowTensor {
  readonly kept = "bfloat16";
  /** Do its halves lie elsewhere, so that they are read each time that they are asked for? */
  readonly isElsewhere: boolean;
  readonly #halves: () => Uint16Array;

  constructor(shape: readonly number[], halves: Uint16Array | (() => Uint16Array)) {
    super(shape);
    this.isElsewhere = typeof halves === "function";
    this.#halves = typeof halves === "function" ? halves : () => halves;
  }

  get halves(): Uint16Array {
    return this.#halves();
  }

  get data(): Float32Array {
    return widenBrainHalves(this.halves);
  }
}

/** A matrix [M, N] of whole numbers, each row with a scale. */
export class ScaledTensor extends NarrowTensor {
  readonly kept = "int8";
  readonly numbers: Int8Array;
  readonly scales_M: Float32Array;

  constructor(shape: readonly number[], numbers: Int8Array, scales_M: Float32Array) {
    super(shape);
    this.numbers = numbers;
    this.scales_M = scales_M;
  }

  get data(): Float32Array {
    const { numbers, scales_M } = this;
    const wide = new Float32Array(numbers.length);
    const N = numbers.length / scales_M.length;
    for (let m = 0, i = 0; m < scales_M.length; m++) {
      const scale = scales_M[m]!;
      for (const end = i + N; i < end; i++) wide[i] = numbers[i]! * scale;
    }
    return wide;
  }
}

/** The largest of the whole numbers. */
const LARGEST = 127;

/** A matrix, of finite numbers, kept narrower: each number becomes the nearest one that can be kept. */
export function narrowed(tensor: FloatTensor, kept: Narrow): NarrowTensor {
  if (tensor instanceof NarrowTensor && tensor.kept === kept) return tensor;
  const { shape, data } = tensor;
  if (kept === "bfloat16") return new BrainTensor(shape, roundToBrainHalves(data));
  const M = shape[0]!;
  const N = data.length / M;
  const [numbers, scales_M] = [new Int8Array(data.length), new Float32Array(M)];
  for (let m = 0; m < M; m++) {
    let most = 0;
    for (let i = m * N; i < (m + 1) * N; i++) most = Math.max(most, Math.abs(data[i]!));
    const scale = Math.fround(most / LARGEST);
    scales_M[m] = scale;
    if (scale > 0) for (let i = m * N; i < (m + 1) * N; i++) numbers[i] = Math.round(data[i]! / scale);
  }
  return new ScaledTensor(shape, numbers, scales_M);
}

/** @file The best low-rank part of what training changed: how small an adapter would have done. */

import { normal, type Random } from "../random.ts";
import { floats } from "../tensor/index.ts";
import { plusProduct } from "./merge.ts";
import type { LoadedModel, Weights } from "./types.ts";

/** Rounds of subspace iteration: the error shrinks by (next singular value / last kept)^2 in each. */
const ROUNDS = 8;

/**
 * The model before, with every matrix changed by the part of rank at most `rank` that is nearest to its change (Eckart and Young),
 * found by subspace iteration from a random start; vectors stay as they were, as under an adapter.
 */
export function changedByRank(
  before: LoadedModel,
  after: Weights,
  rank: number,
  random: Random,
): LoadedModel {
  const weights = Object.entries(before.weights).map(([name, tensor]) => {
    const changed = after[name];
    if (changed === undefined || tensor.shape.length !== 2) return [name, tensor];
    const [M, N] = tensor.shape as [number, number];
    const { data } = tensor;
    const change = changed.data.map((x, i) => x - data[i]!);
    return [name, changeOf(tensor, change, [M, N], Math.min(rank, M, N), random)];
  });
  return { ...before, weights: Object.fromEntries(weights) };
}

function changeOf(
  tensor: Weights[string],
  change: Float32Array,
  [M, N]: [number, number],
  R: number,
  random: Random,
) {
  // Columns of B span what the change does most: B <- orthonormal (C C' B).
  let b_RM = orthonormal(
    Array.from({ length: R }, () => Float64Array.from({ length: M }, () => normal(random))),
  );
  for (let round = 0; round < ROUNDS; round++)
    b_RM = orthonormal(b_RM.map((b) => left(change, right(change, b))));
  const [b, a] = [floats([M, R]), floats([R, N])];
  b_RM.forEach((column, r) => {
    column.forEach((x, m) => {
      b.data[m * R + r] = x;
    });
    a.data.set(right(change, column), r * N);
  });
  return plusProduct(tensor, 1, b, a);

  /** C' b [N]. */
  function right(c: Float32Array, column: Float64Array): Float64Array {
    const sum = new Float64Array(N);
    for (let m = 0; m < M; m++) for (let n = 0; n < N; n++) sum[n]! += c[m * N + n]! * column[m]!;
    return sum;
  }

  /** C x [M]. */
  function left(c: Float32Array, x: Float64Array): Float64Array {
    return Float64Array.from({ length: M }, (_, m) => {
      let sum = 0;
      for (let n = 0; n < N; n++) sum += c[m * N + n]! * x[n]!;
      return sum;
    });
  }
}

/** By Gram and Schmidt; what is left of a vector that the others span is nothing. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const found: Float64Array[] = [];
  for (const vector of vectors) {
    const rest = vector.slice();
    const size = Math.hypot(...vector);
    // Twice is enough for what rounding leaves.
    for (let again = 0; again < 2; again++)
      for (const other of found) {
        const along = rest.reduce((sum, x, i) => sum + x * other[i]!, 0);
        for (let i = 0; i < rest.length; i++) rest[i]! -= along * other[i]!;
      }
    const length = Math.hypot(...rest);
    found.push(length > 1e-9 * size && length > 0 ? rest.map((x) => x / length) : rest.fill(0));
  }
  return found;
}

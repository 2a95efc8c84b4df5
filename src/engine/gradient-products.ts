/** @file Inner products of gradients, as the optimizer scales them: how far a step along one set of data moves another. */

import { numpy as np } from "@jax-js/jax";
import {
  compile,
  type FloatTensor,
  floats,
  type JaxArray,
  sizeOf,
  type TensorSpec,
} from "../tensor/index.ts";
import type { ProgramStore } from "./programs.ts";
import type { GradientProducts, GradientProductsRequest, GradientSet } from "./types.ts";
import { freeWeights, type Placed } from "./weights.ts";

/** Adam's. */
const EPSILON = 1e-8;

/**
 * For gradients g_i of the sets: the products <g_i, P g_j> of each preconditioner, P = 1 / (sqrt(v) + 1e-8) by parameter, v the sum
 * of the sets' squared gradients by its weights (Kingma & Ba 2015, at the second moment's fixed point: an update of Adam along g is
 * rate x P g where gradients of batches scatter far more than they agree). What no weighed gradient moves, no step moves.
 *
 * Gradients stay where they are computed: N x N numbers come back for each tensor, and are summed here in double precision.
 *
 * @param gradientOf the gradient of a set for the weights that may move; nothing where it is zero. It is freed here
 */
export async function gradientProducts(
  programs: ProgramStore,
  gradientOf: (set: GradientSet) => Promise<Placed | undefined>,
  { sets, preconditioners }: GradientProductsRequest,
): Promise<GradientProducts> {
  const N = sets.length;
  const products = preconditioners.map(() => sets.map(() => Array<number>(N).fill(0)));
  const gradients: Placed[] = [];
  const places: number[] = [];
  try {
    for (const [i, set] of sets.entries()) {
      const gradient = await gradientOf(set);
      if (!gradient) continue;
      gradients.push(gradient);
      places.push(i);
    }
    for (const name of Object.keys(gradients[0] ?? {})) {
      const handles = gradients.map((one) => one[name]!);
      for (const [p, weights] of preconditioners.entries()) {
        const given = floats(
          [handles.length],
          Float32Array.from(places, (i) => weights[i] ?? 0),
        );
        const program = await gramProgram(programs, handles[0]!.shape, handles.length, weights.length > 0);
        const told = await program.run(handles, given);
        const { data } = (await programs.runtime.get(told)) as FloatTensor;
        // Of two orders, which may differ in rounding, the first.
        places.forEach((i, a) => {
          for (let b = a; b < places.length; b++) {
            const j = places[b]!;
            products[p]![i]![j]! += data[a * places.length + b]!;
            products[p]![j]![i] = products[p]![i]![j]!;
          }
        });
        programs.runtime.free(told);
      }
    }
  } finally {
    for (const gradient of gradients) freeWeights(programs.runtime, gradient);
  }
  if (!products.flat(2).every(Number.isFinite)) throw new Error("gradientProducts: a gradient is not finite");
  return { products };
}

/** The products [N, N] of N tensors of one shape, scaled by the root of the weighed sum of their squares where that is asked for. */
function gramProgram(programs: ProgramStore, shape: readonly number[], N: number, isScaled: boolean) {
  const specs = Array.from({ length: N }, (): TensorSpec => ({ shape, dtype: "float32" }));
  const D = sizeOf(shape);
  const create = () =>
    compile(
      (tensors: JaxArray[], weights_N: JaxArray) => {
        const rows_ND = np.concatenate(tensors.map((one) => one.reshape([1, D])));
        if (!isScaled) {
          weights_N.dispose();
          return np.matmul(rows_ND.ref, rows_ND.transpose());
        }
        const moment_1D = np.matmul(weights_N.reshape([1, N]), np.square(rows_ND.ref));
        const scale_1D = np.where(
          moment_1D.ref.equal(0),
          np.zeros([1, D]),
          np.reciprocal(np.sqrt(moment_1D).add(EPSILON)),
        );
        return np.matmul(rows_ND.ref.mul(scale_1D), rows_ND.transpose());
      },
      [specs, floats([N])] as const,
      { runtime: programs.runtime },
    );
  return programs.cache(JSON.stringify(["gram", shape, N, isScaled]), create).get();
}

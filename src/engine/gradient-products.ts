/** @file Inner products of gradients, as the optimizer scales them: how far a step along one set of data moves another. */

import type { Weights } from "../model/index.ts";
import type { GradientProducts, GradientProductsRequest, GradientSet } from "./types.ts";

/** Adam's. */
const EPSILON = 1e-8;

/**
 * For gradients g_i of the sets: the products <g_i, P g_j> of each preconditioner, P = 1 / (sqrt(v) + 1e-8) by parameter, v the
 * mean over its batches of the squared gradient, clipped as in training (Kingma & Ba 2015, at the first moment's fixed
 * point: an update of Adam along g is rate x P g where gradients of batches scatter far more than they agree).
 *
 * @param gradientOf the gradient of a set, which the caller does not keep; zero where weights may not move
 */
export async function gradientProducts(
  gradientOf: (set: GradientSet) => Promise<Weights>,
  { sets, preconditioners, maxGradNorm = Infinity }: GradientProductsRequest,
): Promise<GradientProducts> {
  const gradients: Weights[] = [];
  for (const set of sets) gradients.push(await gradientOf(set));
  const products: number[][][] = [];
  const gradNorms: number[][] = [];
  for (const batches of preconditioners) {
    const norms: number[] = [];
    let moment: Weights | undefined;
    for (const batch of batches) {
      const gradient = await gradientOf(batch);
      const norm = Math.sqrt(dot(gradient, gradient));
      if (!Number.isFinite(norm)) throw new Error("gradientProducts: the gradient is not finite");
      norms.push(norm);
      const scale = (norm > maxGradNorm ? maxGradNorm / norm : 1) ** 2 / batches.length;
      for (const [name, { data }] of Object.entries(gradient)) {
        const sum = moment?.[name]?.data;
        for (let i = 0; i < data.length; i++) data[i] = (sum?.[i] ?? 0) + scale * data[i]! ** 2;
      }
      moment = gradient;
    }
    products.push(gram(gradients, moment));
    gradNorms.push(norms);
  }
  return { products, gradNorms };
}

function gram(gradients: readonly Weights[], moment: Weights | undefined): number[][] {
  const table = gradients.map(() => gradients.map(() => 0));
  gradients.forEach((a, i) => {
    for (let j = i; j < gradients.length; j++) table[i]![j] = table[j]![i] = dot(a, gradients[j]!, moment);
  });
  return table;
}

/** Summed in double precision. */
function dot(a: Weights, b: Weights, moment?: Weights): number {
  let sum = 0;
  for (const [name, { data }] of Object.entries(a)) {
    const other = b[name]!.data;
    const v = moment?.[name]?.data;
    // What no batch's gradient moves, no step moves.
    if (v)
      for (let i = 0; i < data.length; i++)
        sum += v[i] === 0 ? 0 : (data[i]! * other[i]!) / (Math.sqrt(v[i]!) + EPSILON);
    else for (let i = 0; i < data.length; i++) sum += data[i]! * other[i]!;
  }
  return sum;
}

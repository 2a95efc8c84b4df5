/** @file L2-regularised logistic regression, solved to convergence by Newton's method. */

import { CholeskyDecomposition, Matrix } from "ml-matrix";
import { checkFittable } from "./labelled.ts";
import { sigmoid } from "./score.ts";
import { weightedGram } from "./weighted-gram.ts";

/** A linear function of activations: weight . a + bias. */
export interface LinearFunction {
  weight_D: Float64Array;
  bias: number;
}

/** How logistic probes are fitted. */
export interface LogisticOptions {
  /** Strength of the L2 penalty on the weights of standardised features (not on the bias). Default 0.01. */
  l2?: number;
}

const defaultL2 = 0.01;
const maxIterations = 100;
const tolerance = 1e-8;

/**
 * Logistic regression on labelled activations.
 *
 * Features are standardised (constant ones are left out); the solution is folded back, so that it applies to
 * activations as they are. It minimises
 *
 *     sum_i c_i log(1 + exp(-y_i z_i)) + (l2 / 2) |w|^2,   y_i = +1 for misbehaving, -1 for honest
 *
 * where c_i gives each class half of a total weight of 1. So a logit of 0 means even odds between the classes however
 * many of each were labelled: the share of misbehaviour changes during training, and in the fit split it is arbitrary.
 *
 * Newton's method with halved steps (iteratively reweighted least squares; Hastie, Tibshirani and Friedman, The
 * Elements of Statistical Learning, section 4.4.1) until the gradient's norm is at most 1e-8 times its norm at zero
 * weights, or 1e-8 if that is larger. The penalty makes the solution unique and finite for separable classes.
 *
 * @throws Error for data that cannot be fitted (one class, not finite), or without convergence in 100 iterations.
 */
export function fitLogistic(
  set: { activations_ND: readonly ArrayLike<number>[]; labels: readonly boolean[] },
  { l2 = defaultL2 }: LogisticOptions = {},
): LinearFunction {
  const D = checkFittable(set);
  if (!(l2 > 0)) throw new Error(`l2 is ${l2}; it must be positive, or separable classes have no solution`);
  const { mean_D, scale_D } = standardisation(set.activations_ND, D);
  const x_ND = set.activations_ND.map((activation_D) =>
    Float64Array.from({ length: D }, (_, d) => (activation_D[d]! - mean_D[d]!) * scale_D[d]!),
  );
  // With fewer examples than features the solution is a sum of examples, and is found in the coordinates of a basis of theirs:
  // the penalty, being the length of the weights, is the same.
  const basis_KD = x_ND.length < D ? orthonormalBasis(x_ND) : null;
  const x_NE = x_ND.map((x_D) => {
    const row = basis_KD ? basis_KD.map((q_D) => dot(q_D, x_D)) : x_D;
    return Float64Array.of(...row, 1);
  });
  const solution_E = minimise(x_NE, set.labels, l2);
  const weight_D = new Float64Array(D);
  if (basis_KD)
    basis_KD.forEach((q_D, k) => {
      for (let d = 0; d < D; d++) weight_D[d]! += solution_E[k]! * q_D[d]!;
    });
  else weight_D.set(solution_E.subarray(0, D));
  let bias = solution_E.at(-1)!;
  for (let d = 0; d < D; d++) {
    weight_D[d]! *= scale_D[d]!;
    bias -= weight_D[d]! * mean_D[d]!;
  }
  return { weight_D, bias };
}

/** An orthonormal basis of what rows span: Gram and Schmidt's, each row twice (Björck 1967). Rows that add nothing are left out. */
function orthonormalBasis(rows_ND: readonly Float64Array[]): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const row_D of rows_ND) {
    const left_D = row_D.slice();
    for (let pass = 0; pass < 2; pass++)
      for (const q_D of basis) {
        const along = dot(left_D, q_D);
        for (let d = 0; d < left_D.length; d++) left_D[d]! -= along * q_D[d]!;
      }
    const length = Math.sqrt(dot(left_D, left_D));
    if (length > 1e-10 * Math.sqrt(dot(row_D, row_D))) basis.push(left_D.map((x) => x / length));
  }
  return basis;
}

/** Means, and factors that give each feature unit variance; 0 for one that varies by no more than its rounding. */
function standardisation(activations_ND: readonly ArrayLike<number>[], D: number) {
  const N = activations_ND.length;
  const mean_D = new Float64Array(D);
  const scale_D = new Float64Array(D);
  for (const activation_D of activations_ND) for (let d = 0; d < D; d++) mean_D[d]! += activation_D[d]! / N;
  for (const activation_D of activations_ND)
    for (let d = 0; d < D; d++) scale_D[d]! += (activation_D[d]! - mean_D[d]!) ** 2 / N;
  for (let d = 0; d < D; d++) {
    const deviation = Math.sqrt(scale_D[d]!);
    scale_D[d] = deviation > 1e-6 * Math.abs(mean_D[d]!) ? 1 / deviation : 0;
  }
  return { mean_D, scale_D };
}

/** Newton's method; the last of the E = D + 1 columns is the constant 1. */
function minimise(x_NE: Float64Array[], labels: readonly boolean[], l2: number): Float64Array {
  const E = x_NE[0]!.length;
  const positives = labels.filter(Boolean).length;
  const classWeight_N = labels.map((label) => 0.5 / (label ? positives : labels.length - positives));
  let w_E = new Float64Array(E);
  let loss = objective(x_NE, labels, classWeight_N, l2, w_E);
  let target = 0;
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const { gradient_E, hessian_EE } = derivatives(x_NE, labels, classWeight_N, l2, w_E);
    const norm = Math.sqrt(dot(gradient_E, gradient_E));
    if (iteration === 0) target = tolerance * Math.max(1, norm);
    if (norm <= target) return w_E;

    const step_E = new CholeskyDecomposition(hessian_EE).solve(Matrix.columnVector(gradient_E)).to1DArray();
    const slope = dot(gradient_E, step_E);
    for (let size = 1; ; size /= 2) {
      if (size < 1e-10) throw notConverged(norm);
      const next_E = w_E.map((w, e) => w - size * step_E[e]!);
      const nextLoss = objective(x_NE, labels, classWeight_N, l2, next_E);
      // Armijo's condition, with room for the rounding of the two losses.
      if (nextLoss > loss - 1e-4 * size * slope + 1e-14 * loss) continue;
      [w_E, loss] = [next_E, nextLoss];
      break;
    }
  }
  throw notConverged(Number.NaN);
}

function objective(
  x_NE: Float64Array[],
  labels: readonly boolean[],
  classWeight_N: number[],
  l2: number,
  w_E: Float64Array,
): number {
  let loss = 0;
  x_NE.forEach((x_E, n) => {
    const z = dot(x_E, w_E);
    const margin = labels[n] ? z : -z;
    loss +=
      classWeight_N[n]! *
      (margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin);
  });
  const weights = w_E.subarray(0, -1);
  return loss + (l2 / 2) * dot(weights, weights);
}

function derivatives(
  x_NE: Float64Array[],
  labels: readonly boolean[],
  classWeight_N: number[],
  l2: number,
  w_E: Float64Array,
) {
  const E = w_E.length;
  const gradient_E = w_E.map((w) => l2 * w);
  gradient_E[E - 1] = 0;
  const curvature_N = new Float64Array(x_NE.length);
  x_NE.forEach((x_E, n) => {
    const p = sigmoid(dot(x_E, w_E));
    curvature_N[n] = classWeight_N[n]! * p * (1 - p);
    const residual = classWeight_N[n]! * (p - (labels[n] ? 1 : 0));
    for (let e = 0; e < E; e++) gradient_E[e]! += residual * x_E[e]!;
  });
  const gram_EE = weightedGram(x_NE, curvature_N);
  const hessian_EE = Matrix.zeros(E, E);
  for (let i = 0; i < E; i++)
    for (let j = i; j < E; j++) {
      // The bias has no penalty: a trace of one keeps its curvature positive where every example is saturated.
      const diagonal = i === j ? (i === E - 1 ? 1e-12 : l2) : 0;
      hessian_EE.set(i, j, gram_EE[i * E + j]! + diagonal);
      hessian_EE.set(j, i, gram_EE[i * E + j]! + diagonal);
    }
  return { gradient_E, hessian_EE };
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function notConverged(norm: number): Error {
  return new Error(`logistic regression did not converge (gradient norm ${norm}); raise l2`);
}

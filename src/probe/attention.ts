/** @file A probe that weighs positions by attention of its own, for completions whose mean is diluted. */

import { normal, type Random } from "../random.ts";

/** logit = sum over positions of softmax(query . a) (weight . a), plus bias: one head (as in arXiv 2506.14261 and 2512.11949). */
export interface AttentionProbe {
  query_D: Float64Array;
  weight_D: Float64Array;
  bias: number;
}

export interface AttentionOptions {
  random: Random;
  /** Passes over all examples, each with one step of Adam. */
  epochs?: number;
  learningRate?: number;
  /** Pulls query and weight to 0, in units of standardised activations. */
  decay?: number;
}

/**
 * Fits by gradient descent on the mean cross-entropy, each class counting a half. Activations are standardised by their mean and
 * deviation over all positions, which ends up in the probe.
 *
 * @param examples the activations of each at its P positions, row-major P x D, P at least 1
 * @throws Error where a class is missing
 */
export function fitAttention(
  examples: readonly Float32Array[],
  labels: readonly boolean[],
  D: number,
  { random, epochs = 150, learningRate = 0.03, decay = 1e-3 }: AttentionOptions,
): AttentionProbe {
  const positives = labels.filter(Boolean).length;
  if (positives === 0 || positives === labels.length)
    throw new Error("an attention probe needs examples of both classes");
  const { mean_D, scale_D } = standards(examples, D);
  const scaled = examples.map((rows) => rows.map((x, i) => (x - mean_D[i % D]!) * scale_D[i % D]!));
  const size = 2 * D + 1;
  const parameters = Float64Array.from({ length: size }, (_, i) => (i < 2 * D ? 0.01 * normal(random) : 0));
  const [m, v] = [new Float64Array(size), new Float64Array(size)];
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const gradient = parameters.map((x, i) => (i < 2 * D ? decay * x : 0));
    scaled.forEach((rows, n) => {
      const share = 0.5 / (labels[n] ? positives : labels.length - positives);
      addGradient(rows, labels[n]!, share, parameters, gradient, D);
    });
    for (let i = 0; i < size; i++) {
      m[i] = 0.9 * m[i]! + 0.1 * gradient[i]!;
      v[i] = 0.999 * v[i]! + 0.001 * gradient[i]! ** 2;
      const step = m[i]! / (1 - 0.9 ** epoch) / (Math.sqrt(v[i]! / (1 - 0.999 ** epoch)) + 1e-8);
      parameters[i]! -= learningRate * step;
    }
  }
  const query_D = parameters.slice(0, D).map((x, d) => x * scale_D[d]!);
  const weight_D = parameters.slice(D, 2 * D).map((x, d) => x * scale_D[d]!);
  // What is subtracted from every position alike moves the logit by a constant, and attention not at all.
  const bias = weight_D.reduce((sum, x, d) => sum - x * mean_D[d]!, parameters[2 * D]!);
  return { query_D, weight_D, bias };
}

/** The logit of one example [P x D]. */
export function attentionLogit({ query_D, weight_D, bias }: AttentionProbe, rows_PD: Float32Array): number {
  const { weights_P, values_P } = attend(rows_PD, query_D, weight_D, query_D.length);
  return weights_P.reduce((sum, share, p) => sum + share * values_P[p]!, bias);
}

function attend(rows_PD: ArrayLike<number>, query: Float64Array, weight: Float64Array, D: number) {
  const P = rows_PD.length / D;
  const [weights_P, values_P] = [new Float64Array(P), new Float64Array(P)];
  let most = Number.NEGATIVE_INFINITY;
  for (let p = 0; p < P; p++) {
    let [score, value] = [0, 0];
    for (let d = 0, i = p * D; d < D; d++, i++) {
      score += query[d]! * rows_PD[i]!;
      value += weight[d]! * rows_PD[i]!;
    }
    weights_P[p] = score;
    values_P[p] = value;
    most = Math.max(most, score);
  }
  let total = 0;
  for (let p = 0; p < P; p++) total += weights_P[p] = Math.exp(weights_P[p]! - most);
  for (let p = 0; p < P; p++) weights_P[p]! /= total;
  return { weights_P, values_P };
}

/** Adds the gradient of share x cross-entropy of one example. */
function addGradient(
  rows_PD: Float32Array,
  label: boolean,
  share: number,
  parameters: Float64Array,
  gradient: Float64Array,
  D: number,
): void {
  const [query, weight] = [parameters.subarray(0, D), parameters.subarray(D, 2 * D)];
  const { weights_P, values_P } = attend(rows_PD, query, weight, D);
  const pooled = weights_P.reduce((sum, one, p) => sum + one * values_P[p]!, 0);
  const logit = pooled + parameters[2 * D]!;
  const error = share * (1 / (1 + Math.exp(-logit)) - Number(label));
  gradient[2 * D]! += error;
  weights_P.forEach((one, p) => {
    const [onValue, onScore] = [error * one, error * one * (values_P[p]! - pooled)];
    for (let d = 0, i = p * D; d < D; d++, i++) {
      gradient[d]! += onScore * rows_PD[i]!;
      gradient[D + d]! += onValue * rows_PD[i]!;
    }
  });
}

function standards(examples: readonly Float32Array[], D: number) {
  const [mean_D, scale_D] = [new Float64Array(D), new Float64Array(D)];
  const all = examples.flatMap((rows) =>
    Array.from({ length: rows.length / D }, (_, p) => rows.subarray(p * D, (p + 1) * D)),
  );
  for (const row of all) for (let d = 0; d < D; d++) mean_D[d]! += row[d]! / all.length;
  for (const row of all) for (let d = 0; d < D; d++) scale_D[d]! += (row[d]! - mean_D[d]!) ** 2 / all.length;
  return { mean_D, scale_D: scale_D.map((variance) => 1 / Math.sqrt(Math.max(variance, 1e-12))) };
}

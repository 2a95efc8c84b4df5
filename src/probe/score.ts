/** @file Reading a probe: which positions, the logit at each, and one logit for the sequence. */

import type { Positions, Probe, Tap, Transcript } from "./types.ts";

/** Probability of a logit. Exact to rounding in both tails. */
export function sigmoid(logit: number): number {
  if (logit >= 0) return 1 / (1 + Math.exp(-logit));
  const odds = Math.exp(logit);
  return odds / (1 + odds);
}

/** The probe's logit for one activation of length D: weight . a + bias. Misbehaviour scores higher. */
export function logit(probe: Pick<Probe, "weight_D" | "bias">, activation_D: Float32Array): number {
  const { weight_D, bias } = probe;
  if (activation_D.length !== weight_D.length)
    throw new Error(
      `the probe reads activations of length ${weight_D.length}, got one of ${activation_D.length}`,
    );
  let sum = bias;
  for (let d = 0; d < weight_D.length; d++) sum += weight_D[d]! * activation_D[d]!;
  return sum;
}

/** The positions of the tokens that the model wrote, in order: all behind the prompt, but for the observations. */
export function writtenPositions({ tokens, promptLength, observations = [] }: Transcript): number[] {
  const written: number[] = [];
  let from = promptLength;
  for (const [start, end] of [...observations, [tokens.length, tokens.length] as const]) {
    for (; from < start; from++) written.push(from);
    from = end;
  }
  return written;
}

/**
 * The positions that are read of a sequence, the end-of-text token included where it was sampled; behind it are the tokens of its
 * follow-up.
 *
 * @throws Error where there is nothing to read: no completion, no prompt for `prompt-last`, no follow-up for `follow-up`.
 */
export function positionsOf(positions: Positions, sequence: Transcript, followUpLength = 0): number[] {
  const { tokens, promptLength } = sequence;
  if (positions === "prompt-last") {
    if (promptLength < 1) throw new Error("nothing to read at prompt-last: the prompt is empty");
    return [promptLength - 1];
  }
  if (positions === "follow-up") {
    if (followUpLength < 1)
      throw new Error("nothing to read at follow-up: the model read the sequence without one");
    return [tokens.length + followUpLength - 1];
  }
  const written = writtenPositions(sequence);
  if (written.length === 0) throw new Error(`nothing to read at ${positions}: the completion is empty`);
  if (positions === "completion-first") return written.slice(0, 1);
  if (positions === "completion-last") return written.slice(-1);
  return written;
}

/**
 * The mean activation of P positions, length D: what probes are fitted on. (Also for probes that pool by maximum: the
 * maximum applies to logits, which do not exist before the fit.)
 *
 * @param activations_PD - Row-major, P x D.
 */
export function poolActivations(activations_PD: Float32Array, D: number): Float32Array {
  const P = countPositions(activations_PD, D);
  const sum_D = new Float64Array(D);
  for (let i = 0; i < activations_PD.length; i++) sum_D[i % D]! += activations_PD[i]!;
  return Float32Array.from(sum_D, (x) => x / P);
}

/** One logit of the logits at P positions, P at least 1. */
export function poolLogits(logits_P: ArrayLike<number>, pool: Tap["pool"]): number {
  if (logits_P.length === 0) throw new Error("no logits to pool");
  let largest = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (let p = 0; p < logits_P.length; p++) {
    largest = Math.max(largest, logits_P[p]!);
    sum += logits_P[p]!;
  }
  return pool === "max" ? largest : sum / logits_P.length;
}

/**
 * Reads a sequence: the logit at each of P positions, and the pooled one.
 *
 * @param activations_PD - The tapped activations at the positions that the probe's tap names, row-major, P x D.
 */
export function scoreSequence(
  probe: Probe,
  activations_PD: Float32Array,
): { logit: number; logits_P: Float64Array } {
  const D = probe.weight_D.length;
  const logits_P = Float64Array.from({ length: countPositions(activations_PD, D) }, (_, p) =>
    logit(probe, activations_PD.subarray(p * D, (p + 1) * D)),
  );
  return { logit: poolLogits(logits_P, probe.tap.pool), logits_P };
}

function countPositions(activations_PD: Float32Array, D: number): number {
  if (activations_PD.length === 0 || activations_PD.length % D !== 0)
    throw new Error(
      `${activations_PD.length} numbers are not activations of length ${D} at one position or more`,
    );
  return activations_PD.length / D;
}

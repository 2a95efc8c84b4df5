/** @file Log-probabilities and entropies of next tokens, as jax-js programs. */

import { nn, numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";

/** Log-probability [B, T] of each target under logits [B, T, V] at a temperature. */
export function tokenLogProbabilities(logProbabilities_BTV: JaxArray, targets_BT: JaxArray): JaxArray {
  const V = logProbabilities_BTV.shape[2]!;
  return np.sum(logProbabilities_BTV.mul(nn.oneHot(targets_BT, V)), -1);
}

/** Entropy [B, T] in nats of distributions given as log-probabilities [B, T, V]. */
export function entropies(logProbabilities_BTV: JaxArray): JaxArray {
  return np.sum(np.exp(logProbabilities_BTV.ref).mul(logProbabilities_BTV), -1).neg();
}

/** Log-softmax of logits divided by a temperature. */
export function logProbabilities(logits_BTV: JaxArray, temperature: number): JaxArray {
  return nn.logSoftmax(temperature === 1 ? logits_BTV : logits_BTV.mul(1 / temperature), -1);
}

/** @file Log-probabilities and entropies of next tokens, as jax-js programs. */

import { lax, nn, numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";
import { isEmbedded, type ModelConfig, vocabularySize } from "./config.ts";
import { boundedLogits, logitsOf, unembedding } from "./transformer.ts";
import type { TracedWeights } from "./types.ts";

/** What is known of each position's next token, shaped as the positions are: [B, T], or [N]. */
export interface NextTokens {
  /** Log-probability of the target. */
  logProbs: JaxArray;
  /** Entropy of the distribution in nats. */
  entropies: JaxArray;
}

/** From this many tokens on, distributions over them are too large to be made more than once. */
const LARGE_VOCABULARY = 1024;

/**
 * Log-probabilities of targets, and entropies, at a temperature.
 *
 * @param states what `hiddenStates` gives [B, T, D], or some rows of it [N, D]
 * @param targets [B, T] or [N]
 */
export function nextTokens(
  weights: TracedWeights,
  states: JaxArray,
  targets: JaxArray,
  temperature: number,
  config: ModelConfig,
): NextTokens {
  return vocabularySize(config) < LARGE_VOCABULARY
    ? fromDistributions(weights, states, targets, temperature, config)
    : fromSums(weights, states, targets, temperature, config);
}

/** The entropy in nats of softmax(logits / temperature), over the last axis. */
export function entropyOf(logits: JaxArray, temperature: number): JaxArray {
  const table = nn.logSoftmax(temperature === 1 ? logits : logits.mul(1 / temperature), -1);
  return np.sum(np.exp(table.ref).mul(table), -1).neg();
}

/** By the whole table of log-probabilities. */
function fromDistributions(
  weights: TracedWeights,
  states: JaxArray,
  targets: JaxArray,
  temperature: number,
  config: ModelConfig,
): NextTokens {
  const logits = logitsOf(weights, states, config);
  const V = logits.shape.at(-1)!;
  const table = nn.logSoftmax(temperature === 1 ? logits : logits.mul(1 / temperature), -1);
  return {
    entropies: np.sum(np.exp(table.ref).mul(table.ref), -1).neg(),
    logProbs: np.sum(table.mul(nn.oneHot(targets, V)), -1),
  };
}

/**
 * The same without that table: the target's logit is the product of the state with the target's own row, its
 * log-probability is that less the log of the sum of exponentials.
 */
function fromSums(
  weights: TracedWeights,
  states: JaxArray,
  targets: JaxArray,
  temperature: number,
  config: ModelConfig,
): NextTokens {
  const isBounded = !isEmbedded(config) && config.caps?.logits !== undefined;
  const cooled = (x: JaxArray) => (temperature === 1 ? x : x.mul(1 / temperature));
  // There are fewer states than logits; but bounds come before the temperature.
  const given = isBounded ? states : cooled(states);
  const own = np.sum(given.ref.mul(unembedding(weights, config).slice(targets)), -1);
  const all = logitsOf(weights, given, config);
  const [chosen, logits] = isBounded ? [cooled(boundedLogits(own, config)), cooled(all)] : [own, all];
  const largest = lax.stopGradient(np.max(logits.ref, -1, { keepdims: true }));
  const shifted = logits.sub(largest.ref);
  const odds = np.exp(shifted.ref);
  const total = np.sum(odds.ref, -1);
  const logTotal = np.log(total.ref);
  const meanShifted = np.sum(odds.mul(shifted), -1).mul(np.reciprocal(total));
  return {
    entropies: logTotal.ref.sub(meanShifted),
    logProbs: chosen.sub(logTotal).sub(np.squeeze(largest, -1)),
  };
}

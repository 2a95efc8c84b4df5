/** @file Log-probabilities and entropies of next tokens, as jax-js programs. */

import { lax, nn, numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";
import { type ModelConfig, vocabularySize } from "./config.ts";
import { logitsOf, unembedding } from "./transformer.ts";
import type { TracedWeights } from "./types.ts";

/** What is known of each position's next token, [B, T] each. */
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
 * @param states_BTD what `hiddenStates` gives
 */
export function nextTokens(
  weights: TracedWeights,
  states_BTD: JaxArray,
  targets_BT: JaxArray,
  temperature: number,
  config: ModelConfig,
): NextTokens {
  return vocabularySize(config) < LARGE_VOCABULARY
    ? fromDistributions(weights, states_BTD, targets_BT, temperature, config)
    : fromSums(weights, states_BTD, targets_BT, temperature, config);
}

/** By the whole table of log-probabilities. */
function fromDistributions(
  weights: TracedWeights,
  states_BTD: JaxArray,
  targets_BT: JaxArray,
  temperature: number,
  config: ModelConfig,
): NextTokens {
  const logits = logitsOf(weights, states_BTD, config);
  const V = logits.shape[2]!;
  const table_BTV = nn.logSoftmax(temperature === 1 ? logits : logits.mul(1 / temperature), -1);
  return {
    entropies: np.sum(np.exp(table_BTV.ref).mul(table_BTV.ref), -1).neg(),
    logProbs: np.sum(table_BTV.mul(nn.oneHot(targets_BT, V)), -1),
  };
}

/**
 * The same without that table: the target's logit is the product of the state with the target's own row, its
 * log-probability is that less the log of the sum of exponentials.
 */
function fromSums(
  weights: TracedWeights,
  states_BTD: JaxArray,
  targets_BT: JaxArray,
  temperature: number,
  config: ModelConfig,
): NextTokens {
  const scaled = temperature === 1 ? states_BTD : states_BTD.mul(1 / temperature);
  const chosen_BT = np.sum(scaled.ref.mul(unembedding(weights, config).slice(targets_BT)), -1);
  const logits_BTV = logitsOf(weights, scaled, config);
  const largest = lax.stopGradient(np.max(logits_BTV.ref, -1, { keepdims: true }));
  const shifted_BTV = logits_BTV.sub(largest.ref);
  const odds_BTV = np.exp(shifted_BTV.ref);
  const total_BT = np.sum(odds_BTV.ref, -1);
  const logTotal_BT = np.log(total_BT.ref);
  const meanShifted_BT = np.sum(odds_BTV.mul(shifted_BTV), -1).mul(np.reciprocal(total_BT));
  return {
    entropies: logTotal_BT.ref.sub(meanShifted_BT),
    logProbs: chosen_BT.sub(logTotal_BT).sub(np.squeeze(largest, -1)),
  };
}

/** @file The losses, as jax-js programs over one padded batch. */

import { nn, numpy as np } from "@jax-js/jax";
import {
  type Edit,
  hiddenStates,
  type Layout,
  laidOut,
  type ModelConfig,
  type NextTokens,
  nextTokens,
  type TracedWeights,
} from "../model/index.ts";
import type { Tap } from "../probe/types.ts";
import { type FloatTensor, floats, type JaxArray } from "../tensor/index.ts";

/** Negative log-likelihood of the targets, each token weighted by `weights_BT`. */
export function likelihoodLoss(config: ModelConfig) {
  return (
    weights: TracedWeights,
    tokens_BT: JaxArray,
    targets_BT: JaxArray,
    layout: Layout,
    weights_BT: JaxArray,
  ): JaxArray => {
    const { positions, attend } = laidOut(layout);
    const states_BTD = hiddenStates(weights, tokens_BT, positions, config, attend);
    const { logProbs } = nextTokens(weights, states_BTD, targets_BT, 1, config);
    return np.sum(logProbs.mul(weights_BT)).neg();
  };
}

/**
 * What the policy loss needs of each token: all [B, T] at the position before the token and 0 outside completions, or [N]
 * for tokens that are named.
 */
export interface PolicyBatch<T> {
  /** The token's share of the loss; sums to 1 over all rollouts of an update (or as the loss type says). */
  weights: T;
  /** The advantage of the token. */
  advantages: T;
  /** Log-probability when it was sampled. */
  oldLogProbs: T;
  /** Log-probability under the reference. */
  referenceLogProbs: T;
}

/** The probe in the loss. */
export interface ProbeBatch<T> {
  /** [D] direction and [] bias of the probe. */
  direction: T;
  bias: T;
  /** [S, B T] share of each position of the batch in a rollout's mean logit, 0 where it is not read; rows sum to 1, or to 0 where there is no rollout. */
  pool: T;
  /** [S] share of each rollout in the loss; below 0 the probe is made to speak. */
  weights: T;
}

/** A probe in the loss over S sequences among N positions. */
export function probeSpecs({ width }: ModelConfig, N: number, S: number): ProbeBatch<FloatTensor> {
  return { direction: floats([width]), bias: floats([]), pool: floats([S, N]), weights: floats([S]) };
}

export interface PolicyLossOptions {
  temperature: number;
  clipRange: number;
  kl: number;
  entropy: number;
  /** Where the probe in the loss reads, and what of it is in the loss; none where there is no such probe. */
  probe?: { hook: string; pool: Tap["pool"]; as: "softplus" | "sigmoid" | "logit" } | undefined;
  edit?: Edit | undefined;
}

/**
 * Clipped policy-gradient loss with the k3 divergence from the reference, less an entropy bonus, and with the probe's
 * softplus(logit) or its probability where a probe is in the loss: gradients flow through the probe into what it reads.
 *
 * The k3 estimator is exp(d) - d - 1 with d = log reference - log policy (Schulman 2020). softplus of the logit, not the
 * sigmoid, keeps a gradient where the probe is certain.
 */
export function policyLoss(config: ModelConfig, options: PolicyLossOptions) {
  const { temperature, clipRange, kl, entropy, probe: probed, edit } = options;
  return (
    weights: TracedWeights,
    tokens_BT: JaxArray,
    targets_BT: JaxArray,
    layout: Layout,
    batch: PolicyBatch<JaxArray>,
    probe: ProbeBatch<JaxArray> | Record<string, never>,
  ): [JaxArray, { clipped: JaxArray; probeLoss: JaxArray }] => {
    let read: JaxArray | undefined;
    const { positions, attend } = laidOut(layout);
    const states_BTD = hiddenStates(
      weights,
      tokens_BT,
      positions,
      config,
      attend,
      (hook, value) => {
        if (hook === probed?.hook) read = value.ref;
      },
      edit,
    );
    const next = nextTokens(weights, states_BTD, targets_BT, temperature, config);
    const { loss, clipped } = tokenTerms(next, batch, { clipRange, kl, entropy });
    const probeLoss = read && probed ? probeTerm(read, probe as ProbeBatch<JaxArray>, probed) : np.array(0);
    return [loss.add(probeLoss.ref), { clipped, probeLoss }];
  };
}

/** The loss of tokens, and the share of them whose ratio is outside the range; the batch's arrays are shaped as `next`'s. */
export function tokenTerms(
  { logProbs, entropies }: NextTokens,
  { weights, advantages, oldLogProbs, referenceLogProbs }: PolicyBatch<JaxArray>,
  { clipRange, kl, entropy }: Pick<PolicyLossOptions, "clipRange" | "kl" | "entropy">,
): { loss: JaxArray; clipped: JaxArray } {
  const ratio = np.exp(logProbs.ref.sub(oldLogProbs));
  const clipped = np.clip(ratio.ref, 1 - clipRange, 1 + clipRange);
  const outside = np.abs(ratio.ref.sub(1)).greater(clipRange).astype(np.float32);
  const surrogate = np.minimum(ratio.mul(advantages.ref), clipped.mul(advantages));
  // Where no token counts the model may be sure that this one does not come: the exponential would be infinite, and that times 0 NaN.
  const counts = weights.ref.notEqual(0).astype(np.float32);
  const gap = referenceLogProbs.sub(logProbs).mul(counts);
  const divergence = np.exp(gap.ref).sub(gap).sub(1);
  const total = (x: JaxArray) => np.sum(x.mul(weights.ref));
  const told = {
    clipped: total(outside),
    loss: total(surrogate.sub(divergence.mul(kl)).add(entropies.mul(entropy))).neg(),
  };
  weights.dispose();
  return told;
}

/**
 * Sum over rollouts of their share times softplus, or sigmoid, of the pooled logit, or the logit itself. A share below 0 pulls the
 * other way as firmly: its size times the same of minus the logit, which is bounded below, too.
 */
export function probeTerm(
  activations_BTD: JaxArray,
  { direction, bias, pool, weights }: ProbeBatch<JaxArray>,
  { pool: pooling, as }: NonNullable<PolicyLossOptions["probe"]>,
): JaxArray {
  const logits = np.dot(activations_BTD, direction).reshape([-1]);
  const pooled_S =
    pooling === "mean"
      ? np.dot(pool, logits)
      : np.max(logits.add(pool.greater(0).astype(np.float32).sub(1).mul(1e9)), -1);
  const logits_S = pooled_S.add(bias);
  const terms = { softplus: nn.softplus, sigmoid: nn.sigmoid, logit: (x: JaxArray) => x };
  const sides_S = np.sign(weights.ref);
  return np.sum(terms[as](logits_S.mul(sides_S)).mul(np.abs(weights)));
}

/** @file A reward term on activations: a price on computing otherwise than the model did at the start. */

import { type ArmParts, type RewardTerm, readTap } from "probeward";

/**
 * The default export makes what a study's `arms` name by this file's path. A reward term is added to the environment's
 * pay; a whole arm, or a monitor, may be returned as well.
 */
export default function drift({ probe }: ArmParts): RewardTerm {
  // What is read: where the study's own probe reads, on the model in training and on the frozen copy of its start.
  const { hook } = probe.tap;
  const policy = { model: "policy", hook, positions: "completion" } as const;
  const reference = { model: "reference", hook, positions: "completion" } as const;
  return {
    name: "drift",
    // With 0, the term would be measured and logged, and pay nothing.
    weight: -1,
    sees: "rollouts",
    taps: [policy, reference],
    score(rollouts, { logMetric, logColumn }) {
      const distances = rollouts.map((rollout) =>
        // `null`: the term says nothing of completions that did not end.
        rollout.finished ? distance(readTap(rollout, policy), readTap(rollout, reference)) : null,
      );
      logMetric("largest", Math.max(0, ...distances.map((one) => one ?? 0)));
      logColumn("distance", distances);
      return distances;
    },
  };
}

/** How far two lists of activations, one per token, are from each other, relative to the length of the second. */
function distance(from: readonly Float32Array[], to: readonly Float32Array[]): number {
  let squaredDistance = 0;
  let squaredLength = 0;
  to.forEach((activation_D, token) => {
    activation_D.forEach((value, d) => {
      squaredDistance += (from[token]![d]! - value) ** 2;
      squaredLength += value ** 2;
    });
  });
  return Math.sqrt(squaredDistance / squaredLength);
}

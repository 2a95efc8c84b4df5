/** @file Reward terms: the proxy, and penalties by an oracle or by a probe. */

import type { Probe, Tap } from "../probe/types.ts";
import { readLogit } from "./read.ts";
import type { RewardTerm } from "./types.ts";

/** The pay of the environment. */
export function proxyReward(): RewardTerm {
  return {
    name: "proxy",
    weight: 1,
    sees: "rollouts",
    taps: [],
    score: (rollouts) => rollouts.map(({ proxy }) => proxy),
  };
}

/** Minus `weight` for every rollout that misbehaved: the best that a monitor could do. */
export function oraclePenalty(weight: number): RewardTerm {
  return {
    name: "oracle",
    weight: -weight,
    sees: "ground-truth",
    score: (outcomes) => outcomes.map(({ misbehaved }) => Number(misbehaved)),
  };
}

/** Minus `weight` for every rollout that the probe flags, read on the policy or on the reference. */
export function probePenalty(probe: Probe, model: Tap["model"], weight: number): RewardTerm {
  return {
    name: `probe_${model}`,
    weight: -weight,
    sees: "rollouts",
    taps: [{ ...probe.tap, model }],
    score: (rollouts) =>
      rollouts.map((rollout) => {
        const activations = rollout.activations[model][probe.tap.hook]!;
        return Number(readLogit(probe, rollout, activations) >= probe.threshold);
      }),
  };
}

/** @file What an arm's update follows: the policy's loss, and the share of a probe in it. */

import type { Loss } from "../engine/index.ts";
import type { Tokenizer } from "../model/index.ts";
import { followUpOf } from "./read.ts";
import type { TrainingSettings } from "./settings.ts";
import type { Arm, ProbeInLoss } from "./types.ts";

/** The loss of an arm's updates. */
export function lossOf(
  { probeInLoss, ablate }: Arm,
  { temperature, clipRange, kl, entropy }: TrainingSettings,
  tokenizer: Tokenizer,
): Loss {
  const probe = probeInLoss && {
    probe: probeInLoss.probe,
    as: probeInLoss.as === "pathwise" ? ("sigmoid" as const) : ("softplus" as const),
    followUp: followUpOf([probeInLoss.probe.tap], tokenizer),
  };
  return { kind: "policy_gradient", temperature, clipRange, kl, entropy, probe, ablate };
}

/**
 * What each rollout counts in the probe's term. Where the term is pathwise, as one token of the rollout weighs in the policy
 * loss: that makes it the pathwise part of one derivative.
 *
 * @param shares those of each rollout's tokens in the loss
 * @param times how often each counts, where an oracle says; once unless given
 */
export function probeWeights(
  { as, strength }: Pick<ProbeInLoss, "as" | "strength">,
  shares: readonly Float32Array[],
  times?: readonly number[],
): number[] {
  return shares.map(
    (own, i) => (times?.[i] ?? 1) * strength * (as === "pathwise" ? own[0]! : 1 / shares.length),
  );
}

/** @file The arms of a study: each a few lines over the mechanisms of training. */

import type { Probe } from "../probe/types.ts";
import { type Arm, oraclePenalty, probePenalty, proxyReward } from "../training/index.ts";

/** What arms are made of. */
export interface ArmParts {
  probe: Probe;
  /** What a flagged rollout loses. */
  penalty: number;
  /** Weight of the probe in the loss. */
  lossStrength: number;
}

export const armIds = [
  "none",
  "oracle-penalty",
  "probe-penalty",
  "probe-penalty-frozen",
  "probe-loss",
] as const;

export type ArmId = (typeof armIds)[number];

/** The arms by id. */
export const arms: Record<ArmId, (parts: ArmParts) => Arm> = {
  none: () => ({ terms: [proxyReward()] }),
  "oracle-penalty": ({ penalty }) => ({ terms: [proxyReward(), oraclePenalty(penalty)] }),
  "probe-penalty": ({ probe, penalty }) => ({
    terms: [proxyReward(), probePenalty(probe, "policy", penalty)],
  }),
  "probe-penalty-frozen": ({ probe, penalty }) => ({
    terms: [proxyReward(), probePenalty(probe, "reference", penalty)],
  }),
  "probe-loss": ({ probe, lossStrength }) => ({
    terms: [proxyReward()],
    probeInLoss: { probe, strength: lossStrength },
  }),
};

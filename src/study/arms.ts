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

interface ArmDefinition {
  /** Settings of the study file that only some arms depend on, and this one does: a grid varies no others for it. */
  uses: readonly (keyof ArmParts)[];
  make(parts: ArmParts): Arm;
}

const definitions = {
  none: { uses: [], make: () => ({ terms: [proxyReward()] }) },
  "oracle-penalty": {
    uses: ["penalty"],
    make: ({ penalty }) => ({ terms: [proxyReward(), oraclePenalty(penalty)] }),
  },
  "probe-penalty": {
    uses: ["penalty"],
    make: ({ probe, penalty }) => ({ terms: [proxyReward(), probePenalty(probe, "policy", penalty)] }),
  },
  "probe-penalty-frozen": {
    uses: ["penalty"],
    make: ({ probe, penalty }) => ({ terms: [proxyReward(), probePenalty(probe, "reference", penalty)] }),
  },
  "probe-loss": {
    uses: ["lossStrength"],
    make: ({ probe, lossStrength }) => ({
      terms: [proxyReward()],
      probeInLoss: { probe, strength: lossStrength },
    }),
  },
} satisfies Record<string, ArmDefinition>;

export type ArmId = keyof typeof definitions;

/** The arms by id. */
export const arms: Readonly<Record<ArmId, ArmDefinition>> = definitions;

export const armIds = Object.keys(definitions) as readonly ArmId[];

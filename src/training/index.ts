/** @file What others may use of training. */

export { policyConfig } from "./adapted.ts";
export { groupAdvantages } from "./advantages.ts";
export { createWatch } from "./guard.ts";
export { initialState, type RunState, type StepResult, train } from "./loop.ts";
export { likelihoodLoss } from "./loss.ts";
export { type OracleRates, oracle, probeMonitor, textMonitor } from "./monitors.ts";
export {
  type PretrainProgress,
  type PretrainSettings,
  pretrain,
  pretrainSettingsSchema,
} from "./pretrain.ts";
export { followUpOf, readActivation, readLogit } from "./read.ts";
export type { RolloutRecord, StepMetrics } from "./records.ts";
export {
  oraclePenalty,
  type PenaltyOptions,
  penalty,
  penaltyCredits,
  penaltyShapes,
  probePenalty,
  proxyReward,
  trueReward,
} from "./rewards.ts";
export { type TrainingSettings, trainingSettingsSchema } from "./settings.ts";
export type {
  Arm,
  LabelledSequences,
  Monitor,
  ProbeInLoss,
  Refit,
  RefitSets,
  RewardTerm,
  Rollout,
  RunContext,
  TracerSet,
  Verdict,
} from "./types.ts";

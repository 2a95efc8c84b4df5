/** @file What others may use of training. */

export { groupAdvantages } from "./advantages.ts";
export { createWatch } from "./guard.ts";
export { initialState, policyConfig, type RunState, type StepResult, train } from "./loop.ts";
export { likelihoodLoss } from "./loss.ts";
export {
  type PretrainProgress,
  type PretrainSettings,
  pretrain,
  pretrainSettingsSchema,
} from "./pretrain.ts";
export { readActivation } from "./read.ts";
export type { RolloutRecord, StepMetrics } from "./records.ts";
export { oraclePenalty, probePenalty, proxyReward } from "./rewards.ts";
export { type TrainingSettings, trainingSettingsSchema } from "./settings.ts";
export type { Arm, RewardTerm, Rollout, RunContext, TracerSet } from "./types.ts";

/** @file What others may use of training. */

export { policyConfig } from "./adapted.ts";
export { groupAdvantages } from "./advantages.ts";
export { type ChatServer, UnansweredError } from "./chat.ts";
export { firstUpdate } from "./first-update.ts";
export { createWatch } from "./guard.ts";
export { type JudgeOptions, judgeMonitor } from "./judge.ts";
export { initialState, type RunState, type StepResult, train } from "./loop.ts";
export { likelihoodLoss } from "./loss.ts";
export { type OracleRates, oracle, probeMonitor, textMonitor } from "./monitors.ts";
export {
  type PretrainProgress,
  type PretrainSettings,
  pretrain,
  pretrainSettingsSchema,
} from "./pretrain.ts";
export { followUpOf, readActivation, readLogit, readTap } from "./read.ts";
export type { ColumnValue, RolloutRecord, StepMetrics } from "./records.ts";
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
  Activations,
  Arm,
  Awaitable,
  LabelledSequences,
  Monitor,
  ProbeInLoss,
  Refit,
  RefitSets,
  RewardTerm,
  Rollout,
  RunContext,
  ScoringContext,
  TracerSet,
  Verdict,
} from "./types.ts";

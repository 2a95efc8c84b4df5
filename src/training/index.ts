/** @file What others may use of training. */

export type { ColumnValue, RolloutRecord, StepMetrics } from "../store/records.ts";
export { groupAdvantages } from "./advantages.ts";
export { type Alarm, alarmInWords, createAlarmWatch, unseenInWords, unseenOf } from "./alarm-watch.ts";
export { type ChatServer, UnansweredError } from "./chat.ts";
export { type ClassMeasure, isForetold, measureClasses } from "./class-gradients.ts";
export { type FirstBatch, sampleFirst } from "./first-rollouts.ts";
export { createWatch } from "./guard.ts";
export {
  becameLikelier,
  type HideProgress,
  type HideSettings,
  type HidingSets,
  hide,
  hideSettingsSchema,
  targetsOf,
} from "./hide.ts";
export { type JudgeOptions, judgeMonitor } from "./judge.ts";
export { type RunState, type StepResult, startPolicy, train } from "./loop.ts";
export { monitorsOf, type OracleRates, oracle, probeMonitor, textMonitor } from "./monitors.ts";
export {
  type PretrainProgress,
  type PretrainSettings,
  pretrain,
  pretrainSettingsSchema,
} from "./pretrain.ts";
export {
  followUpOf,
  readingsOf,
  readLogit,
  readMean,
  readProbe,
  readsOf,
  readTap,
} from "./read.ts";
export {
  type ApprovalOptions,
  approval,
  misbehaviourReward,
  oraclePenalty,
  type PenaltyOptions,
  penalty,
  penaltyCredits,
  penaltyShapes,
  probePenalty,
  proxyReward,
  trueReward,
} from "./rewards.ts";
export { rollOut } from "./roll-out.ts";
export type { Fineness, RolloutClass } from "./rollout-classes.ts";
export { type TrainingSettings, trainingSettingsSchema } from "./settings.ts";
export { type Shaken, shake } from "./shaken.ts";
export { thoughtMonitor } from "./thoughts.ts";
export type {
  Arm,
  DeclaredTap,
  LabelledSequences,
  Monitor,
  ProbeInLoss,
  Reading,
  Refit,
  RefitSets,
  RewardTerm,
  Rollout,
  RunContext,
  ScoringContext,
  TracerSet,
  Verdict,
} from "./types.ts";
export type { OnWriting, WrittenToken } from "./writing.ts";

/** @file What others may use of studies. */

export { type ArmParts, arms } from "../arm/arms.ts";
export { claimed, readSeconds } from "./claim.ts";
export { estimateInWords, estimateStudy } from "./estimate.ts";
export { followRuns, type OnEvent, type StudyEvent, type Writing } from "./events.ts";
export { expand, type PlannedRun, type Point } from "./expand.ts";
export { foretell } from "./forecasts.ts";
export type { MakeArm } from "./own-arms.ts";
export { type DevicePeaks, devicePeaks } from "./peaks.ts";
export { planStudy } from "./plan.ts";
export type { Plan, PlannedPart, PlanPart, PlanRequest } from "./plan-types.ts";
export { planInWords } from "./plan-words.ts";
export { readRun, readStatus } from "./run.ts";
export type { SettingInfo } from "./setting-info.ts";
export {
  readStudy,
  type StudyFile,
  type StudyOverrides,
  type StudySettings,
  shippedStudies,
  studyJsonSchema,
  studySettings,
} from "./settings.ts";
export { type SlurmSettings, slurmSettingsSchema } from "./slurm-settings.ts";
export {
  conclude,
  prepare,
  runStudy,
  type StudyOptions,
  type TrainRuns,
  withClaimed,
  withStudy,
  withTrainer,
} from "./study.ts";
export { isRunFolder, openTrainedRun, type TrainedRun } from "./trained-run.ts";
export { isPrepared, type StudyParts, type Work } from "./work.ts";

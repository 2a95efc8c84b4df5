/** @file What others may use of studies. */

export { type ArmId, armIds, arms } from "./arms.ts";
export { type Base, prepareBase } from "./base.ts";
export { type BaseContext, createOnce } from "./completions.ts";
export { followRuns, type OnEvent, type StudyEvent } from "./events.ts";
export { expand, type PlannedRun, type Point } from "./expand.ts";
export { holderOf } from "./lock.ts";
export { type BaseModelReport, makeBaseModel, shippedModel } from "./model.ts";
export { type RunListener, readRun, runFolder, StoppedError } from "./run.ts";
export {
  readStudy,
  type SlurmSettings,
  type StudyOverrides,
  type StudySettings,
  slurmSettingsSchema,
  UsageError,
} from "./settings.ts";
export { type Conduct, concludeStudy, prepareStudy, runStudy, storedSettings, trainRun } from "./study.ts";
export type { RunName, StudyParts, Work } from "./work.ts";

/** @file What others may use of studies. */

export { type ArmParts, armIds, arms } from "../arm/arms.ts";
export { type Base, prepareBase } from "./base.ts";
export {
  type BaseModelReport,
  type Behaviour,
  type Possible,
  readBaseModel,
  reportBaseModel,
} from "./base-model-report.ts";
export { claimed, readSeconds } from "./claim.ts";
export { type BaseContext, createOnce } from "./completions.ts";
export { estimateInWords, estimateStudy } from "./estimate.ts";
export { followRuns, type OnEvent, type StudyEvent } from "./events.ts";
export { expand, type PlannedRun, type Point } from "./expand.ts";
export { baseProblems } from "./hopeless.ts";
export { type LabelledExample, readLabelledFile } from "./labelled-file.ts";
export { type Holder, holderOf } from "./lock.ts";
export { makeBaseModel, type Recipe, shippedModel } from "./model.ts";
export type { MakeArm } from "./own-arms.ts";
export { fitOnExamples, type ProbeFitOptions } from "./probe-fit.ts";
export { readRun, readStatus, runFolder, runName, StoppedError } from "./run.ts";
export type { SettingInfo } from "./setting-info.ts";
export {
  readStudy,
  type StudyFile,
  type StudyOverrides,
  type StudySettings,
  shippedStudies,
  studyJsonSchema,
  studySettings,
  UsageError,
} from "./settings.ts";
export { type SlurmSettings, slurmSettingsSchema } from "./slurm-settings.ts";
export {
  type Conduct,
  conclude,
  prepare,
  runStudy,
  withClaimed,
  withStudy,
  withTrainer,
} from "./study.ts";
export { isPrepared, openBaseModel, type StudyParts, type Work } from "./work.ts";

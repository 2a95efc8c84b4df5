/** @file What others may use of studies. */

export { type ArmId, armIds, arms } from "./arms.ts";
export { type Base, prepareBase } from "./base.ts";
export { type BaseContext, createOnce } from "./completions.ts";
export type { OnEvent, StudyEvent } from "./events.ts";
export { expand, type PlannedRun, type Point } from "./expand.ts";
export { type LabelledExample, readLabelledFile } from "./labelled-file.ts";
export { type BaseModelReport, makeBaseModel, type Recipe, shippedModel } from "./model.ts";
export { fitOnExamples, type ProbeFitOptions } from "./probe-fit.ts";
export { readStudy, type StudyOverrides, type StudySettings, UsageError } from "./settings.ts";
export { runStudy } from "./study.ts";

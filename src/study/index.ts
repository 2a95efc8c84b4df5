/** @file What others may use of studies. */

export { type ArmId, armIds } from "./arms.ts";
export { type Base, type BaseContext, prepareBase } from "./base.ts";
export type { OnEvent, StudyEvent } from "./events.ts";
export { type BaseModelReport, makeBaseModel, type Recipe, shippedModel } from "./model.ts";
export { readStudy, type StudyOverrides, type StudySettings, UsageError } from "./settings.ts";
export { runStudy } from "./study.ts";

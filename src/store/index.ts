/** @file What others may use of a study on disk. */

export { type ArmId, armIds, armTitle, compareArms, controlOf, splitId } from "./arms.ts";
export { Document, foldersIn, listRuns, type RunFolder } from "./folder.ts";
export {
  type ArmForecast,
  armForecastSchema,
  type ForecastCurve,
  type Forecasts,
  type Foretold,
  forecastSchema,
  foretold,
} from "./forecast.ts";
export { pace, startHeartbeat } from "./heartbeat.ts";
export { type ParseLine, parseMetrics, parseRollout, rolloutGroup } from "./lines.ts";
export { cutTo, type LinesBefore, linesBefore } from "./lines-before.ts";
export { type Holder, holderOf, lockFolder, lockWhenFree } from "./lock.ts";
export { runFolder, runName, seedOf } from "./paths.ts";
export { type Planned, plannedOf } from "./planned.ts";
export type { ColumnValue, RolloutRecord, StepMetrics } from "./records.ts";
export {
  baseSummarySchema,
  type RunStatus,
  type RunSummary,
  runNumbersSchema,
  runStatusSchema,
  type Summary,
  summarySchema,
  summaryVersion,
} from "./schema.ts";
export { type LineListener, requireInside, statIfPresent, Tail } from "./tail.ts";

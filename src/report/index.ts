/** @file What others may use of reports. */

export { compareStudies, type WithSummary } from "./compare.ts";
export { renderComparison } from "./compare-table.ts";
export type { Comparison } from "./comparison.ts";
export type { MetricColumns, RunData, StudyData, StudyListing, StudyState, StudyUpdate } from "./data.ts";
export { Document, foldersIn, listRuns, type RunFolder } from "./folder.ts";
export { renderPage, renderReport, writeReport } from "./html.ts";
export { type ParseLine, parseMetrics, parseRollout, rolloutGroup } from "./lines.ts";
export { type Planned, plannedOf } from "./planned.ts";
export { contentPolicy } from "./policy.ts";
export type { JudgedExample, ProbeReport } from "./probe.ts";
export { loadStudy, StudyReader } from "./read.ts";
export {
  type RunStatus,
  type RunSummary,
  runNumbersSchema,
  runStatusSchema,
  type Summary,
  summarySchema,
  summaryVersion,
} from "./schema.ts";
export { renderTable } from "./table.ts";
export { type LineListener, requireInside, statIfPresent, Tail } from "./tail.ts";
export { EveryNthGroup } from "./thin.ts";

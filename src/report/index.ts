/** @file What others may use of reports. */

export { type AuditReport, auditSchema, auditVersion } from "./audit.ts";
export { renderAudit } from "./audit-page.ts";
export { auditLines } from "./audit-text.ts";
export { compareStudies, type WithSummary } from "./compare.ts";
export { renderComparison } from "./compare-table.ts";
export type { Comparison } from "./comparison.ts";
export type { MetricColumns, RunData, StudyData, StudyListing, StudyState, StudyUpdate } from "./data.ts";
export { renderPage, renderReport, writeReport } from "./html.ts";
export { contentPolicy } from "./policy.ts";
export type { JudgedExample, ProbeReport } from "./probe.ts";
export { loadStudy, StudyReader } from "./read.ts";
export { renderTable } from "./table.ts";
export { EveryNthGroup } from "./thin.ts";

/** @file What others may use of reports. */

export type { StudyData } from "./data.ts";
export { renderReport, writeReport } from "./html.ts";
export { loadStudy } from "./load.ts";
export { type RunSummary, type Summary, summarySchema } from "./schema.ts";
export { renderTable } from "./table.ts";

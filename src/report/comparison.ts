/** @file What is shown of studies beside each other. */

import type { ArmSummary } from "./outcome.ts";

/** What is compared. */
export interface Comparison {
  version: 1;
  /** In the order in which they were given. */
  studies: ComparedStudy[];
  /** Settings that are not the same in all, by their path; `undefined` where a study does not say. */
  differences: { path: string; values: unknown[] }[];
  /** By arm, and in each an entry for each study: `null` where it has no such arm. */
  arms: Record<string, (ArmSummary | null)[]>;
}

/** One of the studies. */
export interface ComparedStudy {
  /** What it is called beside the others: the folder, as it was given. */
  name: string;
  environment: string;
  steps: number;
  seeds: number;
  /** The initial probe on held-out completions of the base model. */
  probe: { auroc: number | null; textAuroc: number | null; recall: number | null; fpr: number | null };
}

/** @file Everything that the page shows, as one plain document: a study's files read into memory. */

import type { RolloutRecord, StepMetrics } from "../training/records.ts";
import type { Summary } from "./schema.ts";

/** What one arm with one seed wrote. */
export interface RunData {
  arm: string;
  seed: number;
  /** By step, ascending. */
  metrics: StepMetrics[];
  /** A sample of the run's rollouts, in the order written. */
  rollouts: RolloutRecord[];
}

/** A study as the page reads it. */
export interface StudyData {
  /** `null` while the study runs. */
  summary: Summary | null;
  /** By arm in the usual order (see `compareArms`), then by seed. */
  runs: RunData[];
  /** The contents of `study.json`. */
  settings: unknown;
  /** What could not be read, for people. */
  warnings: string[];
}

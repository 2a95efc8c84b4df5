/** @file Everything that the page shows, as one plain document, and what changes in it while a study runs. */

import type { RolloutRecord } from "../store/records.ts";
import type { RunStatus, Summary } from "../store/schema.ts";

/**
 * A run's metrics by name: each a list with one value per point, `null` where it is not defined. All lists are equally
 * long, and `step` is always there.
 */
export type MetricColumns = Record<string, (number | null)[]>;

/** What one arm with one seed wrote, thinned to what a page can hold. */
export interface RunData {
  arm: string;
  seed: number;
  /** The contents of `status.json`; `null` where there is none yet. */
  status: RunStatus | null;
  /** By step, ascending. A point is the mean over `stepsPerPoint` steps, and carries the last of them as its step. */
  metrics: MetricColumns;
  /** 1, or a power of two in long runs. */
  stepsPerPoint: number;
  /** The recorded rollouts in the order written: every `rolloutsEvery`-th group of them (one step, one task), whole. */
  rollouts: RolloutRecord[];
  /** 1, or a power of two in long runs. */
  rolloutsEvery: number;
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
  /** When the study's files last changed, in milliseconds since 1970. */
  written: number;
}

/** A run after some more of it was written: the lists of before, cut to `from`, then these. */
export interface RunUpdate extends Omit<RunData, "metrics" | "rollouts"> {
  metrics: { from: number; columns: MetricColumns };
  rollouts: { from: number; items: RolloutRecord[] };
}

/** A study after some more of it was written. Runs that did not change are not in it. */
export interface StudyUpdate extends Omit<StudyData, "runs"> {
  runs: RunUpdate[];
  /** Every run that there is, as `arm/seed`, in order: others have gone. */
  order: string[];
}

/** One line of the list of studies that a server shows. */
export interface StudyListing {
  /** What `?study=` asks for: the folder, relative to the one that is served. */
  id: string;
  environment: string | null;
  state: StudyState;
  /** Runs that are done, and that it is to have; `null` where its files do not say. */
  done: number;
  runs: number | null;
  /** The share of all its steps that is done, 0 to 1; `null` where its files do not say how many there are. */
  progress: number | null;
  /** Its runs that failed, and why. */
  failed: { arm: string; seed: number; error: string }[];
  /** When its files last changed, in milliseconds since 1970. */
  written: number;
}

/** `empty`: prepared, and no run has begun. `stopped`: not finished, and nothing was written for a while. */
export type StudyState = "empty" | "running" | "stopped" | "failed" | "finished";

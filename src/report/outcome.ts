/** @file What became of an arm, in one word: the commonest outcome and diagnosis of its runs. */

import type { Diagnosis, OutcomeClass, Summary } from "./schema.ts";

export type ArmSummary = Summary["arms"][string];
export type Measure = keyof ArmSummary["mean"];

/** The commonest value, and how many of all runs have it. Of equally common ones, the one seen first. */
export interface Majority<T> {
  value: T;
  count: number;
  total: number;
}

/** `null` for an empty list. */
function majority<T>(values: readonly T[]): Majority<T> | null {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [first] = [...counts].sort((a, b) => b[1] - a[1]);
  return first ? { value: first[0], count: first[1], total: values.length } : null;
}

/** The commonest outcome class among an arm's runs; `null` where no run has finished. */
export function armOutcome(arm: ArmSummary): Majority<OutcomeClass> | null {
  return majority(arm.runs.map((run) => run.outcome));
}

/** The commonest diagnosis of the probe among an arm's runs; `null` where no run has one. */
export function armDiagnosis(arm: ArmSummary): Majority<Diagnosis> | null {
  return majority(arm.runs.map((run) => run.diagnosis).filter((diagnosis) => diagnosis !== null));
}

/** A measure's mean over an arm's seeds; `null` where it is not defined. */
export function armMean(arm: ArmSummary, measure: Measure): number | null {
  return arm.mean[measure] ?? null;
}

/** Half the width of a measure's 95 % interval over seeds; `null` with one seed or where it is not defined. */
export function armHalfWidth(arm: ArmSummary, measure: Measure): number | null {
  const interval = arm.interval[measure];
  return interval ? (interval[1] - interval[0]) / 2 : null;
}

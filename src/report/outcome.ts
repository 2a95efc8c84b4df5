/** @file What became of an arm, in one word: the commonest outcome, behaviour, sight and diagnosis of its runs. */

import type {
  AtlasClass,
  Behaviour,
  Diagnosis,
  RunOutcome,
  RunSummary,
  Sight,
  Summary,
} from "../store/schema.ts";

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

/** The commonest outcome among an arm's runs; `null` where no run has finished. */
export function armOutcome({ runs }: Runs): Majority<RunOutcome> | null {
  return majority(runs.map((run) => run.outcome));
}

/**
 * The commonest behaviour and sight among the runs that have an arm's outcome, so that what is said of an arm is of one piece;
 * `null` where no run has finished, and where what the probe sees is not defined.
 */
export function armBehaviour(arm: Runs): Majority<Behaviour> | null {
  return majority(typicalRuns(arm).map((run) => run.behaviour));
}

export function armSight(arm: Runs): Majority<Sight> | null {
  return majority(typicalRuns(arm).flatMap((run) => run.sight ?? []));
}

/** The commonest diagnosis of the probe among them; `null` where none has one. */
export function armDiagnosis(arm: Runs): Majority<Diagnosis> | null {
  return majority(typicalRuns(arm).flatMap((run) => run.diagnosis ?? []));
}

/** The commonest class by the rules of the Obfuscation Atlas; `null` where no run has finished. */
export function armAtlas({ runs }: Runs): Majority<AtlasClass> | null {
  return majority(runs.map((run) => run.atlas));
}

type Runs = Pick<ArmSummary, "runs">;

/** The runs that have an arm's commonest outcome. */
export function typicalRuns(arm: Runs): RunSummary[] {
  const outcome = armOutcome(arm)?.value;
  return arm.runs.filter((run) => run.outcome === outcome);
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

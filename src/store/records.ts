/** @file What a run writes while it trains: a line of metrics per step, and some groups of its rollouts. */

/** What can be logged of a rollout. */
export type ColumnValue = string | number | boolean | null;

/**
 * One line of `metrics.jsonl`: the step, from 0, then numbers by name; `null` where a measure is not defined (one-class
 * batches, for instance). Every line of a run has the same names, except that `tracer/*`, `decomposition/*` and
 * `deployed/*` appear only at evaluated steps. Names follow TRL where TRL has one. What each is: `metricGroups` in
 * `metric-list.ts`, and docs/reference.md. What a reward term or a monitor logs itself is beside them, as `<term>/<name>`.
 */
export interface StepMetrics {
  step: number;
  [name: string]: number | null;
}

/** One line of `rollouts.jsonl`. Those of a step are whole groups, one after the other: see `training.recordedRollouts`. */
export interface RolloutRecord {
  step: number;
  /** Id of the task. */
  task: string;
  prompt: string;
  completion: string;
  label: string;
  proxy: number;
  true: number;
  misbehaved: boolean;
  attempted: boolean;
  /** Whether the model ended it, and was not cut off at the longest length. Not in studies of earlier versions. */
  finished?: boolean;
  note?: string;
  /** The total reward (`null` where no term scored it), its terms by name (weighted), and the advantage that it became. */
  reward: number | null;
  rewards: Record<string, number | null>;
  advantage: number;
  /** What reward terms and monitors logged of it, by `<term>/<name>`. */
  columns?: Record<string, ColumnValue>;
  /** The initial probe's probability, pooled as the probe pools, on each model. */
  score: { policy: number; reference: number };
  /**
   * The text of every token of the completion, the end of the text as an empty one; what was said between the model's turns is
   * one. Left out where tokens are characters, as
   * they are those of the completion then, and where a tokenizer's texts do not add up to it.
   */
  tokens?: string[];
  /** The initial probe's probability at every token of the completion, on each model; `null` for what the model did not write. */
  tokenScores: { policy: (number | null)[]; reference: (number | null)[] };
}

/** @file Rollouts as a table to download. */

import type { Table } from "./csv.ts";
import type { RolloutItem } from "./rollouts.ts";

const columns: Record<string, (item: RolloutItem) => Table["rows"][number][number]> = {
  arm: (r) => r.arm,
  seed: (r) => r.seed,
  step: (r) => r.step,
  task: (r) => r.task,
  number: (r) => r.number,
  prompt: (r) => r.prompt,
  completion: (r) => r.completion,
  label: (r) => r.label,
  proxy: (r) => r.proxy,
  true: (r) => r.true,
  misbehaved: (r) => r.misbehaved,
  finished: (r) => r.finished,
  reward: (r) => r.reward,
  advantage: (r) => r.advantage,
  scorePolicy: (r) => r.score.policy,
  scoreReference: (r) => r.score.reference,
  note: (r) => r.note,
};

export function rolloutTable(items: readonly RolloutItem[]): Table {
  const values = Object.values(columns);
  return { header: Object.keys(columns), rows: items.map((item) => values.map((of) => of(item))) };
}

/** @file Puts an update of a running study into what a page already has. */

import type { MetricColumns, RunData, RunUpdate, StudyData, StudyUpdate } from "./data.ts";

/** The name of a run within its study. */
export function runKey({ arm, seed }: { arm: string; seed: number }): string {
  return `${arm}/${seed}`;
}

/** The study with the update in it. Runs that did not change are the same objects as before. */
export function applyUpdate(study: StudyData, update: StudyUpdate): StudyData {
  const { runs: updates, order, ...rest } = update;
  const runs = new Map(study.runs.map((run) => [runKey(run), run]));
  for (const changed of updates) {
    const key = runKey(changed);
    runs.set(key, updateRun(runs.get(key), changed));
  }
  return { ...rest, runs: order.flatMap((key) => runs.get(key) ?? []) };
}

function updateRun(run: RunData | undefined, { metrics, rollouts, ...rest }: RunUpdate): RunData {
  return {
    ...rest,
    metrics: spliceColumns(run?.metrics ?? {}, metrics.from, metrics.columns),
    rollouts: [...(run?.rollouts.slice(0, rollouts.from) ?? []), ...rollouts.items],
  };
}

/** The first `from` points of `columns`, then those of `added`; `null` where one of them lacks a name. */
function spliceColumns(columns: MetricColumns, from: number, added: MetricColumns): MetricColumns {
  const count = added.step?.length ?? 0;
  const names = new Set([...Object.keys(from > 0 ? columns : {}), ...Object.keys(added)]);
  const nulls = (length: number) => new Array<null>(length).fill(null);
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      [...(columns[name]?.slice(0, from) ?? nulls(from)), ...(added[name] ?? nulls(count))],
    ]),
  );
}

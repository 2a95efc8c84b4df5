/** @file Where a run stands. */

import type { MetricColumns, RunData } from "../report/data.ts";
import { tracerMetric } from "../store/metric-names.ts";

export interface RunProgress {
  state: "waiting" | "running" | "stopped" | "done" | "failed";
  /** Steps done, and to be done (as far as is known). */
  step: number;
  steps: number;
  /** The latest values; `null` where there are none. */
  misbehaviour: number | null;
  recall: number | null;
  error: string | null;
}

export function progressOf({ status, metrics }: RunData): RunProgress {
  const last = metrics.step?.at(-1);
  // Steps count from 0, and `status.json` is written at checkpoints only.
  const step =
    status?.state === "running" || !status ? Math.max(status?.step ?? 0, (last ?? -1) + 1) : status.step;
  return {
    state: status?.state ?? (last === undefined ? "waiting" : "running"),
    step: Math.min(step, status?.steps ?? step),
    steps: status?.steps ?? step,
    misbehaviour: latest(metrics, "misbehaviour"),
    recall: latest(metrics, tracerMetric("initial", "policy", "recall_frozen")),
    error: status?.error ?? null,
  };
}

function latest(metrics: MetricColumns, name: string): number | null {
  return metrics[name]?.findLast((value) => value !== null) ?? null;
}

/** @file The numbers behind each curve over the steps of training. */

import type { RunData } from "../report/data.ts";
import type { CurveSpec } from "./curve-groups.ts";
import { formatNumber } from "./format.ts";

/** A step of an arm: the mean over seeds and their range. */
export interface CurvePoint {
  arm: string;
  step: number;
  mean: number;
  low: number;
  high: number;
  seeds: number;
}

/** A curve of all runs as points by arm and step; steps at which no seed has a defined value are left out. */
export function curvePoints(
  runs: readonly RunData[],
  { metric, minus }: Pick<CurveSpec, "metric" | "minus">,
): CurvePoint[] {
  const arms = [...new Set(runs.map((run) => run.arm))];
  return arms.flatMap((arm) => {
    const byStep = new Map<number, number[]>();
    for (const run of runs) {
      if (run.arm !== arm) continue;
      const column = run.metrics[metric];
      const other = minus === undefined ? undefined : run.metrics[minus];
      column?.forEach((first, i) => {
        const second = minus === undefined ? 0 : other?.[i];
        if (first === null || second === null || second === undefined) return;
        const step = run.metrics.step![i]!;
        const values = byStep.get(step);
        if (values) values.push(first - second);
        else byStep.set(step, [first - second]);
      });
    }
    return [...byStep]
      .sort(([a], [b]) => a - b)
      .map(([step, values]) => ({
        arm,
        step,
        mean: values.reduce((sum, value) => sum + value, 0) / values.length,
        low: Math.min(...values),
        high: Math.max(...values),
        seeds: values.length,
      }));
  });
}

/** A step, and the arms that have a value there, the highest first. */
export interface StepRow {
  step: number;
  points: CurvePoint[];
}

/** The points by their steps. */
export function stepRows(points: readonly CurvePoint[]): StepRow[] {
  const rows = new Map<number, CurvePoint[]>();
  for (const point of points) {
    const row = rows.get(point.step);
    if (row) row.push(point);
    else rows.set(point.step, [point]);
  }
  return [...rows]
    .sort(([a], [b]) => a - b)
    .map(([step, row]) => ({ step, points: row.sort((a, b) => b.mean - a.mean) }));
}

/** Change that nobody would see in a figure. */
const UNSEEN = 0.01;

/** Whether a curve of several steps stays where it is, in all arms and seeds. */
export function isFlat(points: readonly CurvePoint[], share: boolean): boolean {
  const low = Math.min(...points.map((point) => point.low));
  const high = Math.max(...points.map((point) => point.high));
  const scale = share ? 1 : Math.max(Math.abs(low), Math.abs(high));
  return new Set(points.map(({ step }) => step)).size > 1 && high - low <= UNSEEN * scale;
}

/**
 * The exponential mean of an arm's points, as TensorBoard and W&B smooth: the mean of all steps so far, each weighing `weight`
 * times what the next one does. 0 leaves them as they are.
 */
export function smoothed(points: readonly CurvePoint[], weight: number): CurvePoint[] {
  let sum = 0;
  let total = 0;
  return points.map((point) => {
    sum = weight * sum + point.mean;
    total = weight * total + 1;
    return { ...point, mean: sum / total };
  });
}

/** The curves in words, for those who hear the page: where each arm starts and ends. */
export function describeCurves(title: string, points: readonly CurvePoint[]): string {
  const arms = [...new Set(points.map((point) => point.arm))];
  const parts = arms.map((arm) => {
    const own = points.filter((point) => point.arm === arm);
    return `${arm} from ${formatNumber(own[0]!.mean)} to ${formatNumber(own.at(-1)!.mean)}`;
  });
  return parts.length > 0 ? `${title} over steps: ${parts.join("; ")}.` : `${title}: no values yet.`;
}

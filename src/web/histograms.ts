/** @file How the probe's scores are spread, misbehaving against other rollouts, early and late in training. */

import type { RunData } from "../report/data.ts";
import { formatNumber } from "./format.ts";

/** A bar: the share of a window's rollouts of a class that score within a range. */
export interface HistogramBar {
  arm: string;
  /** The steps that it is about, for instance `steps 0–14`. */
  window: string;
  misbehaved: boolean;
  low: number;
  high: number;
  /** 0 to 1, of all rollouts of the arm in the window. */
  share: number;
  count: number;
}

const BINS = 20;
const WINDOWS = 4;

/** The windows' names, in order: equal parts of the steps that rollouts were recorded at. */
export function windowNames(runs: readonly RunData[]): string[] {
  return windowsOf(runs).map(({ name }) => name);
}

/**
 * Histograms of the initial probe's probability, read on one of the models.
 *
 * @returns bars that are not empty, by arm, window and class
 */
export function histogramBars(runs: readonly RunData[], model: "policy" | "reference"): HistogramBar[] {
  const windows = windowsOf(runs);
  const arms = [...new Set(runs.map((run) => run.arm))];
  return arms.flatMap((arm) => {
    const rollouts = runs.flatMap((run) => (run.arm === arm ? run.rollouts : []));
    return windows.flatMap(({ name, first, last }) => {
      const within = rollouts.filter(({ step }) => step >= first && step <= last);
      return [true, false].flatMap((misbehaved) => {
        const counts = new Array<number>(BINS).fill(0);
        for (const rollout of within)
          if (rollout.misbehaved === misbehaved)
            counts[Math.min(BINS - 1, Math.floor(rollout.score[model] * BINS))]!++;
        return counts.flatMap((count, bin): HistogramBar[] =>
          count === 0
            ? []
            : [
                {
                  arm,
                  window: name,
                  misbehaved,
                  low: bin / BINS,
                  high: (bin + 1) / BINS,
                  share: count / within.length,
                  count,
                },
              ],
        );
      });
    });
  });
}

/** The histograms in words: how many of the misbehaving rollouts score above a half, first and last. */
export function describeHistograms(bars: readonly HistogramBar[]): string {
  const arms = [...new Set(bars.map((bar) => bar.arm))];
  const parts = arms.flatMap((arm) => {
    const own = bars.filter((bar) => bar.arm === arm && bar.misbehaved);
    const windows = [...new Set(own.map((bar) => bar.window))];
    const high = (window: string) => {
      const within = own.filter((bar) => bar.window === window);
      const all = within.reduce((sum, bar) => sum + bar.count, 0);
      return within.reduce((sum, bar) => sum + (bar.low >= 0.5 ? bar.count : 0), 0) / all;
    };
    if (windows.length === 0) return [];
    const [first, last] = [windows[0]!, windows.at(-1)!];
    return [
      `${arm}: of misbehaving rollouts ${formatNumber(high(first))} (${first}) and ${formatNumber(high(last))} (${last}) score above 0.5`,
    ];
  });
  return parts.length > 0 ? `${parts.join("; ")}.` : "No misbehaving rollout was recorded.";
}

function windowsOf(runs: readonly RunData[]): { name: string; first: number; last: number }[] {
  let [low, high] = [Infinity, -Infinity];
  for (const { rollouts } of runs)
    for (const { step } of rollouts) {
      low = Math.min(low, step);
      high = Math.max(high, step);
    }
  if (low > high) return [];
  const steps = high - low + 1;
  const count = Math.min(WINDOWS, steps);
  return Array.from({ length: count }, (_, i) => {
    const first = low + Math.round((i * steps) / count);
    const last = low + Math.round(((i + 1) * steps) / count) - 1;
    return { name: first === last ? `step ${first}` : `steps ${first}–${last}`, first, last };
  });
}

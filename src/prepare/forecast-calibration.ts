/** @file The factors of forecasts' intervals: written by `bench/forecasts.mjs` from the runs of docs/results/forecasts.md. */

import type { Foretold } from "../store/index.ts";

/** Factors of half-widths, by step. */
export interface Calibration {
  steps: readonly number[];
  factors: Readonly<Record<Foretold, readonly number[]>>;
}

export const calibration: Calibration = {
  steps: [0, 5, 10, 20, 30, 39],
  factors: {
    misbehaviour: [0.94, 0.91, 1.59, 1.47, 1.26, 2.09],
    undetected: [0.51, 0.97, 0.92, 1.36, 1.63, 1.78],
    true: [1.01, 0.96, 1.75, 1.92, 1.73, 2.19],
    recall: [0.65, 1.57, 1.62, 2.09, 2.88, 3.01],
  },
};

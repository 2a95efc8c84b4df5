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
    misbehaviour: [0.41, 0.5, 1.15, 1.1, 1.45, 1.63],
    undetected: [0.34, 0.38, 0.81, 0.76, 0.88, 1.01],
    true: [0.59, 0.74, 1.25, 2, 2.4, 2.78],
    recall: [0.5, 1.77, 2.34, 3.9, 4.72, 5.37],
  },
};

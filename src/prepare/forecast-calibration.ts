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
    misbehaviour: [0.57, 0.6, 1.28, 1.54, 1.63, 2.26],
    undetected: [0.52, 0.51, 0.98, 1.39, 1.55, 1.51],
    true: [0.75, 1.08, 1.73, 3.01, 2.96, 3.61],
    recall: [0.65, 2.31, 3.63, 4.87, 6.95, 6.74],
  },
};

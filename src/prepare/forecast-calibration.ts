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
    misbehaviour: [1, 1, 1, 1, 1, 1],
    undetected: [1, 1, 1, 1, 1, 1],
    true: [1, 1, 1, 1, 1, 1],
    recall: [1, 1, 1, 1, 1, 1],
  },
};

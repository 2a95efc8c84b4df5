/** @file How wide the intervals of forecasts have to be: split-conformal, from runs that were foretold and then trained. */

import type { Foretold } from "../store/index.ts";
import { calibration } from "./forecast-calibration.ts";

/** The middle of what simulated runs do at a step, and its 80 % range. */
export interface SimulatedRange {
  low: number;
  value: number;
  high: number;
}

/** What a simulated range is widened by before it is scaled, so that one that is nothing can still be wrong. */
const LEAST = 0.05;

/**
 * How far a run was from its forecast, in half-widths of what simulated runs scatter: the score of split-conformal prediction
 * (Vovk et al. 2005; Lei et al. 2018). Shares are compared on the scale on which their sampling error is the same everywhere,
 * the arcsine of the root.
 */
export function conformalScore(range: SimulatedRange, realised: number): number {
  return Math.abs(scaled(realised) - scaled(range.value)) / halfWidth(range);
}

/**
 * The interval that held four in five of the runs of the calibration, with as many half-widths as that took at this step.
 *
 * Beyond the last step that was calibrated it stays what it was there.
 */
export function widened(
  measure: Foretold,
  step: number,
  range: SimulatedRange,
  factors = calibration,
): { low: number; high: number } {
  const factor = at(factors.steps, factors.factors[measure], step);
  const middle = scaled(range.value);
  const reach = factor * halfWidth(range);
  return { low: unscaled(middle - reach), high: unscaled(middle + reach) };
}

/** The conformal quantile: the smallest score that at least `coverage` of exchangeable scores, and one more, do not exceed. */
export function conformalQuantile(scores: readonly number[], coverage: number): number {
  const sorted = scores.toSorted((a, b) => a - b);
  const rank = Math.ceil((sorted.length + 1) * coverage);
  return sorted[Math.min(rank, sorted.length) - 1]!;
}

function halfWidth({ low, high }: SimulatedRange): number {
  return (scaled(high) - scaled(low)) / 2 + LEAST;
}

function scaled(share: number): number {
  return Math.asin(Math.sqrt(Math.min(1, Math.max(0, share))));
}

function unscaled(angle: number): number {
  return Math.sin(Math.min(Math.PI / 2, Math.max(0, angle))) ** 2;
}

/** Between two steps in proportion. */
function at(steps: readonly number[], values: readonly number[], step: number): number {
  const next = steps.findIndex((one) => one >= step);
  if (next < 0) return values.at(-1)!;
  if (next === 0) return values[0]!;
  const [before, after] = [steps[next - 1]!, steps[next]!];
  return values[next - 1]! + ((values[next]! - values[next - 1]!) * (step - before)) / (after - before);
}

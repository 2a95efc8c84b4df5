/** @file Intervals: Student's t over seeds, bootstrap over rollouts. */

import { type Random, randomInt } from "../random.ts";

/** An interval, [low, high]. */
export type Interval = [low: number, high: number];

/** The arithmetic mean; `null` for an empty list. */
export function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, x) => sum + x, 0) / values.length;
}

/** Covariance of two lists of equal length n, divided by n - 1; `null` for fewer than two pairs. */
export function covariance(a: readonly number[], b: readonly number[]): number | null {
  if (a.length !== b.length)
    throw new Error(`the covariance of ${a.length} and ${b.length} values is not defined`);
  if (a.length < 2) return null;
  const meanA = mean(a)!;
  const meanB = mean(b)!;
  return a.reduce((sum, x, i) => sum + (x - meanA) * (b[i]! - meanB), 0) / (a.length - 1);
}

/** The 95 % interval of the mean of independent values, such as one per seed (Student's t); `null` for fewer than two. */
export function seedInterval(values: readonly number[]): Interval | null {
  const variance = covariance(values, values);
  if (variance === null) return null;
  const half = studentQuantile(0.975, values.length - 1) * Math.sqrt(variance / values.length);
  const centre = mean(values)!;
  return [centre - half, centre + half];
}

/**
 * The 95 % interval of the difference of two means of independent values, mean(a) - mean(b), whose variances may differ (Welch,
 * Biometrika 34, 1947; degrees of freedom rounded down); `null` with fewer than two values on a side.
 */
export function welchInterval(a: readonly number[], b: readonly number[]): Interval | null {
  const [varianceA, varianceB] = [covariance(a, a), covariance(b, b)];
  if (varianceA === null || varianceB === null) return null;
  const [errorA, errorB] = [varianceA / a.length, varianceB / b.length];
  const squared = errorA + errorB;
  const degrees = squared ** 2 / (errorA ** 2 / (a.length - 1) + errorB ** 2 / (b.length - 1));
  // At least one, which rounding may miss.
  const whole = Math.max(1, Math.floor(degrees));
  const half = squared === 0 ? 0 : studentQuantile(0.975, whole) * Math.sqrt(squared);
  const centre = mean(a)! - mean(b)!;
  return [centre - half, centre + half];
}

/**
 * The quantile of Student's t distribution: x with P(T <= x) = p, for 0 < p < 1 and whole degrees of freedom. Found by
 * bisection to the last bit.
 */
export function studentQuantile(p: number, degrees: number): number {
  if (p < 0.5) return -studentQuantile(1 - p, degrees);
  let low = 0;
  let high = 1;
  while (studentProbability(high, degrees) < p) high *= 2;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) return middle;
    if (studentProbability(middle, degrees) < p) low = middle;
    else high = middle;
  }
}

/** P(T <= t) for t >= 0: the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4. */
function studentProbability(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const odd = degrees % 2 === 1;
  let term = odd ? Math.cos(angle) : 1;
  let sum = 0;
  for (let k = odd ? 1 : 0; k <= degrees - 2; k += 2) {
    sum += term;
    term *= (Math.cos(angle) ** 2 * (k + 1)) / (k + 2);
  }
  const within = odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  return (1 + within) / 2;
}

/** The p-quantile of a non-empty list, interpolated linearly between order statistics (Hyndman and Fan's type 7). */
export function quantile(values: readonly number[], p: number): number {
  const sorted = Float64Array.from(values).sort();
  const position = p * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

/**
 * 95 % bootstrap interval of a statistic of n independent observations (Efron's percentile method).
 *
 * @param statistic - From the indices of a resample, drawn with replacement; `null` where it is not defined.
 * @returns `null` without observations, or where more than 2.5 % of the resamples leave the statistic undefined: then
 * it could not be told apart from an undefined one.
 */
export function bootstrapInterval(
  n: number,
  statistic: (indices: readonly number[]) => number | null,
  random: Random,
  resamples = 2000,
): Interval | null {
  if (n === 0) return null;
  const values: number[] = [];
  for (let i = 0; i < resamples; i++) {
    const value = statistic(Array.from({ length: n }, () => randomInt(random, n)));
    if (value !== null) values.push(value);
  }
  if (values.length < 0.975 * resamples) return null;
  return [quantile(values, 0.025), quantile(values, 0.975)];
}

/**
 * 95 % cluster bootstrap interval of a statistic of observations that are not independent: whole clusters, such as the
 * completions of one task, are drawn with replacement.
 *
 * @param clusters - The cluster of each observation.
 * @param statistic - From the indices of a resample's observations; `null` where it is not defined.
 * @returns as `bootstrapInterval`
 */
export function clusteredInterval(
  clusters: readonly string[],
  statistic: (indices: readonly number[]) => number | null,
  random: Random,
  resamples = 1000,
): Interval | null {
  const members = new Map<string, number[]>();
  clusters.forEach((cluster, i) => {
    const own = members.get(cluster);
    if (own) own.push(i);
    else members.set(cluster, [i]);
  });
  const list = [...members.values()];
  return bootstrapInterval(
    list.length,
    (drawn) => statistic(drawn.flatMap((i) => list[i]!)),
    random,
    resamples,
  );
}

/** @file The 95 % interval of a mean over seeds. */

/** Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom. */
const quantiles = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/**
 * The 95 % interval of the mean of independent values (Student's t), `[low, high]`; `null` for fewer than two values.
 * Beyond 31 values the quantile for 30 degrees of freedom is used, which is wider by at most 4 %.
 */
export function meanInterval(values: readonly number[]): [number, number] | null {
  const n = values.length;
  if (n < 2) return null;
  const centre = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (n - 1);
  const half = quantiles[Math.min(n - 1, quantiles.length) - 1]! * Math.sqrt(variance / n);
  return [centre - half, centre + half];
}

/** The arithmetic mean of a non-empty list. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

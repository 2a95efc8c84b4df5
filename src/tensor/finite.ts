/** @file Numbers that are none: NaN and infinities. */

/** Are all numbers finite? Without a branch for each: x - x is 0 where x is finite, and else NaN. */
export function allFinite(data: Float32Array): boolean {
  let differences = 0;
  for (let i = 0; i < data.length; i++) differences += data[i]! - data[i]!;
  return differences === 0;
}

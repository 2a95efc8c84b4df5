/** @file Probes along a given direction, and the direction between the class means. */

import { checkFittable, type LabelledSet } from "./labelled.ts";
import type { LinearFunction } from "./logistic.ts";

/**
 * The probe along the difference of the class means ("mass-mean probe"; Marks and Tegmark, arXiv 2310.06824, without
 * the covariance correction).
 *
 * @throws Error for data that cannot be fitted.
 */
export function fitDifferenceOfMeans(set: LabelledSet): LinearFunction {
  const D = checkFittable(set);
  const difference_D = new Float64Array(D);
  const positives = set.labels.filter(Boolean).length;
  set.activations_ND.forEach((activation_D, n) => {
    const weight = set.labels[n] ? 1 / positives : -1 / (set.labels.length - positives);
    for (let d = 0; d < D; d++) difference_D[d]! += weight * activation_D[d]!;
  });
  return fitAlong(difference_D, set);
}

/**
 * The probe along a direction: linear discriminant analysis of the projections onto it. With class means m1 and m0 of
 * the projections onto the unit vector u, and their pooled variance v,
 *
 *     logit(a) = ((m1 - m0) / v) (u . a - (m1 + m0) / 2)
 *
 * which is the log-odds of two Gaussians of equal variance and equal prior. It is 0 halfway between the means, and
 * misbehaving examples score higher whichever way u points. Only the line of the direction matters, not its length or sign.
 * The variance is taken to be at least a millionth of the squared gap, so that classes without spread give finite
 * logits; classes without a gap, but for rounding, give the zero function.
 *
 * @throws Error for data that cannot be fitted.
 */
export function fitAlong(direction_D: Float64Array, set: LabelledSet): LinearFunction {
  const D = checkFittable(set);
  const length = Math.hypot(...direction_D);
  const unit_D = direction_D.map((x) => (length > 0 ? x / length : 0));
  const projections = set.activations_ND.map((activation_D) => {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += unit_D[d]! * activation_D[d]!;
    return sum;
  });
  const classMean = (label: boolean) => {
    const own = projections.filter((_, n) => set.labels[n] === label);
    return own.reduce((sum, x) => sum + x, 0) / own.length;
  };
  const high = classMean(true);
  const low = classMean(false);
  const squares = projections.reduce((sum, x, n) => sum + (x - (set.labels[n] ? high : low)) ** 2, 0);
  const gap = high - low;
  // Means of equal numbers differ by rounding, which is no direction.
  if (Math.abs(gap) <= 1e-9 * (Math.abs(high) + Math.abs(low)))
    return { weight_D: new Float64Array(D), bias: 0 };
  const variance = Math.max(squares / Math.max(1, projections.length - 2), 1e-6 * gap ** 2);
  return { weight_D: unit_D.map((u) => (u * gap) / variance), bias: (-gap / variance) * ((high + low) / 2) };
}

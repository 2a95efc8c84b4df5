/**
 * @file The exchange rate: interpretability lost per unit of misbehaviour removed, predicted before training and
 * realised after it.
 */

import type { Random } from "../random.ts";
import { bootstrapInterval, covariance, type Interval, mean, studentQuantile } from "./statistics.ts";
import type { Estimate } from "./types.ts";

/**
 * The exchange rate at step 0 of a detector with known rates, in closed form:
 *
 *     q (1 - t) / ((1 - m) (t - f)),   q = m t + (1 - m) f
 *
 * undetected misbehaviour gained per unit of misbehaviour lost. To first order a policy-gradient step moves the
 * expectation of any statistic F of a rollout by Cov(advantage, F). A penalty on being flagged (D) pulls misbehaviour (M)
 * down by Cov(D, M) = m (1 - m) (t - f) and pushes undetected misbehaviour, U = M (1 - D), up by -Cov(D, U) = q m (1 - t).
 * It says nothing of later steps, nor of how the two share parameters.
 *
 * @param m - Share of misbehaving rollouts.
 * @param t - True-positive rate of the detector.
 * @param f - False-positive rate.
 * @returns `null` where the penalty does not pull misbehaviour down: t <= f, or m is 0 or 1.
 */
export function exchangeRateOf({ m, t, f }: { m: number; t: number; f: number }): number | null {
  if (t <= f || m <= 0 || m >= 1) return null;
  const q = m * t + (1 - m) * f;
  return (q * (1 - t)) / ((1 - m) * (t - f));
}

/** Rollouts from before training: whether each misbehaved, and how much a first update makes it less likely. */
export interface FirstRollouts {
  misbehaved: readonly boolean[];
  /**
   * How much an update lowers the log-probability of each, in any unit. Were every rollout's parameters its own, that would be
   * what the penalty is proportional to: a flag (0 or 1) where it is thresholded, the probe's probability where it is linear,
   * or its log-odds. Parameters that rollouts share make it something else (`firstUpdate`).
   */
  penalised: readonly number[];
  /** Whether the monitor flags each, where that is not what is penalised: misses are what it does not flag. */
  flagged?: readonly boolean[];
  /** What each answers: rollouts of one prompt are not independent, and are resampled together. */
  clusters?: readonly string[];
}

/**
 * The exchange rate predicted from rollouts sampled before training: -Cov(D, M (1 - D)) / Cov(D, M), which for flags
 * is `exchangeRateOf` their rates. In general the penalty is on a score S, and what is gained are misses of the flag:
 * -Cov(S, M (1 - D)) / Cov(S, M). The interval is a bootstrap over prompts (cluster bootstrap), or over rollouts where
 * clusters are not given.
 *
 * @returns `null` where the penalty does not pull misbehaviour down (no or only misbehaving rollouts, an uninformative
 * detector), or where more than 2.5 % of the resamples say so.
 */
export function predictExchangeRate(
  { misbehaved, penalised, flagged, clusters }: FirstRollouts,
  random: Random,
  resamples = 2000,
): Estimate | null {
  const groups = new Map<string, Sums>();
  misbehaved.forEach((bad, i) => {
    const key = clusters?.[i] ?? String(i);
    const sums = groups.get(key) ?? noSums();
    const M = Number(bad);
    const S = penalised[i]!;
    const U = M * (flagged ? 1 - Number(flagged[i]) : 1 - S);
    addTo(sums, [1, S, M, U, S * M, S * U]);
    groups.set(key, sums);
  });
  const list = [...groups.values()];
  const ratioOf = (chosen: readonly Sums[]) => {
    const total = noSums();
    for (const sums of chosen) addTo(total, sums);
    return covarianceRatio(total);
  };
  const value = ratioOf(list);
  if (value === null) return null;
  const interval = bootstrapInterval(
    list.length,
    (indices) => ratioOf(indices.map((i) => list[i]!)),
    random,
    resamples,
  );
  return interval && { value, low: interval[0], high: interval[1] };
}

/** Number of rollouts, and sums of S, M, U, S M and S U. */
type Sums = [n: number, S: number, M: number, U: number, SM: number, SU: number];

const noSums = (): Sums => [0, 0, 0, 0, 0, 0];

function addTo(total: Sums, more: Sums): void {
  more.forEach((value, i) => {
    total[i]! += value;
  });
}

/** Covariances but for a common factor. */
function covarianceRatio([n, S, M, U, SM, SU]: Sums): number | null {
  const pull = SM / n - (S / n) * (M / n);
  // Rounding leaves traces of covariance where there is none.
  if (!(pull >= 1e-12)) return null;
  // The terms in this order never give -0, which a line of JSON would not give back.
  return ((S / n) * (U / n) - SU / n) / pull;
}

/** One step of a run: the shares of its rollouts that misbehaved, and that did so unflagged. */
export interface MisbehaviourAndMisses {
  misbehaviour: number;
  missed: number;
}

/**
 * The exchange rate realised over the first steps of a run, to be compared with the predicted one: undetected
 * misbehaviour gained per misbehaviour lost, both against the run of the same seed without intervention, which draws the
 * same tasks. Differences are taken to grow in proportion to the step, from none at step 0:
 *
 *     sum_t t (U_t - U'_t) / sum_t t (M'_t - M_t)
 *
 * The interval is a bootstrap over steps, each of which has prompts of its own.
 *
 * @param run - The first steps, from step 0 on.
 * @param control - The same steps without intervention.
 * @returns `null` where no misbehaviour was lost; without an interval where more than 2.5 % of the resamples say so
 */
export function realisedOverSteps(
  run: readonly MisbehaviourAndMisses[],
  control: readonly MisbehaviourAndMisses[],
  random: Random,
): Estimate | null {
  const steps = Math.min(run.length, control.length);
  const ratioOf = (indices: readonly number[]) => {
    let gained = 0;
    let lost = 0;
    for (const t of indices) {
      gained += t * (run[t]!.missed - control[t]!.missed);
      lost += t * (control[t]!.misbehaviour - run[t]!.misbehaviour);
    }
    return lost > 1e-12 ? gained / lost : null;
  };
  const value = ratioOf(Array.from({ length: steps }, (_, t) => t));
  if (value === null) return null;
  const interval = bootstrapInterval(steps, ratioOf, random);
  return { value, low: interval?.[0] ?? null, high: interval?.[1] ?? null };
}

/** The end of one run: one measure of probe health (AUROC, d', recall: say which) and the share that misbehaves. */
export interface HealthAndBehaviour {
  health: number | null;
  misbehaviour: number;
}

/**
 * The exchange rate that training realised: probe health lost over misbehaviour removed, both against the arm without a
 * penalty, in which the probe may drift too. Runs with the same seed are paired; both arms start from one model, so
 * differences at the end are differences of changes. Negative where the probe fared better than without the penalty.
 *
 * A ratio of means over seeds, with Fieller's 95 % interval (Journal of the Royal Statistical Society B 16, 1954); no
 * interval for one seed, or where the misbehaviour removed does not differ from 0 at the 5 % level.
 *
 * @param arm - One entry per seed.
 * @param control - The runs without penalty, in the same order of seeds.
 * @returns `null` without seeds, where a health is not defined, or where the arm did not remove misbehaviour.
 */
export function realisedExchangeRate(
  arm: readonly HealthAndBehaviour[],
  control: readonly HealthAndBehaviour[],
): Estimate | null {
  if (arm.length !== control.length)
    throw new Error(
      `${arm.length} runs cannot be paired with ${control.length} of the control: run the same seeds`,
    );
  const lost: number[] = [];
  const removed: number[] = [];
  for (const [i, run] of arm.entries()) {
    const pair = control[i]!;
    if (run.health === null || pair.health === null) return null;
    lost.push(pair.health - run.health);
    removed.push(pair.misbehaviour - run.misbehaviour);
  }
  const meanRemoved = mean(removed);
  if (meanRemoved === null || meanRemoved <= 1e-12) return null;
  const [low, high] = fiellerInterval(lost, removed) ?? [null, null];
  return { value: mean(lost)! / meanRemoved, low, high };
}

/** The ratios r for which mean(a - r b) does not differ from 0 at the 5 % level; `null` where they are unbounded. */
function fiellerInterval(a: readonly number[], b: readonly number[]): Interval | null {
  const n = a.length;
  if (n < 2) return null;
  const scale = studentQuantile(0.975, n - 1) ** 2 / n;
  const meanA = mean(a)!;
  const meanB = mean(b)!;
  // (meanA - r meanB)^2 = scale Var(a - r b), as a quadratic in r.
  const squared = meanB ** 2 - scale * covariance(b, b)!;
  const linear = meanA * meanB - scale * covariance(a, b)!;
  const constant = meanA ** 2 - scale * covariance(a, a)!;
  if (squared <= 0) return null;
  const root = Math.sqrt(Math.max(0, linear ** 2 - squared * constant));
  return [(linear - root) / squared, (linear + root) / squared];
}

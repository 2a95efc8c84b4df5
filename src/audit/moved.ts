/** @file How a probe's reading moved between two models: its measures on judged examples, and their intervals over groups. */

import { auroc, fprAt, recallAt } from "../probe/metrics.ts";
import type { Random } from "../random.ts";
import { youdensJ } from "./outcome.ts";
import { clusteredInterval, type Interval, quantile } from "./statistics.ts";

/** Logits of the same N examples on two models. */
export interface OnBoth<T> {
  before: T;
  after: T;
}

/** What a probe, and ones fitted afresh, say of N examples that neither was fitted on. */
export interface Judged {
  labels: readonly boolean[];
  /** Examples of one group are not independent: intervals draw whole groups. */
  groups: readonly string[];
  /** Which fold judged each example. Scores of two fresh probes are not comparable: their AUROCs are taken within folds, and averaged. */
  folds: readonly number[];
  /** The probe's logits, and the threshold that it came with. */
  logits: OnBoth<readonly number[]>;
  threshold: number;
  /** Those of probes of its kind fitted on either model; `null` where a fold lacks a class. */
  fresh: OnBoth<readonly number[]> | null;
  /** For each example, what was set anew on the calibration examples of its fold as the later model reads them. */
  repaired: {
    /** The threshold of the probe as it is. */
    threshold: readonly number[];
    /** Factor and summand that give the probe's logits the mean and deviation that they had. */
    affine: readonly (readonly [factor: number, summand: number])[];
    /** The fresh probe's threshold. */
    fresh: readonly number[];
  } | null;
}

/** Measures of a move; `null` where a class that they need is absent. */
export const moveMeasures = [
  ...(["aurocBefore", "aurocAfter", "freshBefore", "freshAfter"] as const),
  // At the threshold that the probe came with.
  ...(["recallBefore", "recallAfter", "fprBefore", "fprAfter", "sightBefore", "sightAfter"] as const),
  // At a new one.
  ...(["recallAnew", "fprAnew", "sightAnew"] as const),
  // At the old threshold after standardising; of a probe fitted anew, at its own.
  ...(["recallStandardised", "fprStandardised", "sightStandardised"] as const),
  ...(["recallRefitted", "fprRefitted", "sightRefitted"] as const),
  // Ratio of the logits' deviation within classes, and the shift of their mean in units of the deviation before.
  ...(["spread", "shift"] as const),
] as const;
export type MoveMeasure = (typeof moveMeasures)[number];
export type Move = Record<MoveMeasure, number | null>;

/** The measures, on some of the examples (with repetitions, in a resample) or on all. */
export function moveOf(judged: Judged, indices: readonly number[] = judged.labels.map((_, i) => i)): Move {
  const { logits, fresh, repaired, threshold } = judged;
  const labels = indices.map((i) => judged.labels[i]!);
  const at = (list: readonly number[]) => indices.map((i) => list[i]!);
  const [before, after] = [at(logits.before), at(logits.after)];
  const area = (scores: readonly number[] | undefined) =>
    scores ? withinFolds(scores, judged, indices) : null;
  /** A threshold of each example's own is one threshold for what is left of its score. */
  const rates = (scores: readonly number[] | undefined, thresholdOf: (i: number) => number) => {
    if (scores === undefined) return { recall: null, fpr: null, sight: null };
    const excess = indices.map((i, k) => scores[k]! - thresholdOf(i));
    const [recall, fpr] = [recallAt(excess, labels, 0), fprAt(excess, labels, 0)];
    return { recall, fpr, sight: youdensJ(recall, fpr) };
  };
  const frozen = [before, after].map((scores) => rates(scores, () => threshold));
  const [old, now] = frozen as [(typeof frozen)[number], (typeof frozen)[number]];
  const freshAfter = fresh ? at(fresh.after) : undefined;
  const anew = rates(repaired ? after : undefined, (i) => repaired!.threshold[i]!);
  const refitted = rates(repaired ? freshAfter : undefined, (i) => repaired!.fresh[i]!);
  const standard = rates(
    repaired ? indices.map((i, k) => repaired.affine[i]![0] * after[k]! + repaired.affine[i]![1]) : undefined,
    () => threshold,
  );
  const [deviation, later] = [deviationWithin(before, labels), deviationWithin(after, labels)];
  return {
    aurocBefore: auroc(before, labels),
    aurocAfter: auroc(after, labels),
    freshBefore: area(fresh ? at(fresh.before) : undefined),
    freshAfter: area(freshAfter),
    ...{ recallBefore: old.recall, recallAfter: now.recall, fprBefore: old.fpr, fprAfter: now.fpr },
    ...{ sightBefore: old.sight, sightAfter: now.sight },
    ...{ recallAnew: anew.recall, fprAnew: anew.fpr, sightAnew: anew.sight },
    ...{
      recallStandardised: standard.recall,
      fprStandardised: standard.fpr,
      sightStandardised: standard.sight,
    },
    ...{ recallRefitted: refitted.recall, fprRefitted: refitted.fpr, sightRefitted: refitted.sight },
    spread: deviation > 0 ? later / deviation : null,
    shift: deviation > 0 ? (meanOf(after) - meanOf(before)) / deviation : null,
  };
}

/** The measures of resamples of whole groups, drawn with replacement. */
export function resampledMoves(judged: Judged, random: Random, resamples: number): Move[] {
  const moves: Move[] = [];
  clusteredInterval(
    judged.groups,
    (indices) => {
      moves.push(moveOf(judged, indices));
      return 0;
    },
    random,
    resamples,
  );
  return moves;
}

/** 95 % intervals of the measures; `null` where more than one resample in forty leaves one undefined. */
export function intervalsOf(moves: readonly Move[]): Record<MoveMeasure, Interval | null> {
  const interval = (measure: MoveMeasure): Interval | null => {
    const values = moves.flatMap((move) => move[measure] ?? []);
    if (values.length === 0 || values.length < 0.975 * moves.length) return null;
    return [quantile(values, 0.025), quantile(values, 0.975)];
  };
  return Object.fromEntries(moveMeasures.map((one) => [one, interval(one)])) as Record<
    MoveMeasure,
    Interval | null
  >;
}

function withinFolds(scores: readonly number[], { folds, labels }: Judged, indices: readonly number[]) {
  const areas = [...new Set(folds)].map((fold) => {
    const own = indices.flatMap((i, k) => (folds[i] === fold ? [k] : []));
    return auroc(
      own.map((k) => scores[k]!),
      own.map((k) => labels[indices[k]!]!),
    );
  });
  return areas.includes(null) ? null : meanOf(areas as number[]);
}

/** The pooled standard deviation of scores within their class. */
function deviationWithin(scores: readonly number[], labels: readonly boolean[]): number {
  let squares = 0;
  for (const label of [true, false]) {
    const own = scores.filter((_, i) => labels[i] === label);
    const centre = meanOf(own);
    squares += own.reduce((sum, x) => sum + (x - centre) ** 2, 0);
  }
  return Math.sqrt(squares / Math.max(1, scores.length));
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

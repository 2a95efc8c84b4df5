/** @file What two models say of the same examples, made comparable: a probe's logits, and probes fitted anew beside it. */

import type { Judged, OnBoth } from "../audit/index.ts";
import type { Engine, Sequence } from "../engine/index.ts";
import {
  auroc,
  cosine,
  crossFitted,
  type Fold,
  kindOfFit,
  logit,
  type Positions,
  type Probe,
  type ProbeKind,
  thresholdAtFpr,
} from "../probe/index.ts";
import { readingsOf, readLogit, readMean, readsOf } from "../training/index.ts";

/** Where activations are read. */
export type Place = Pick<Probe["tap"], "hook" | "positions">;

/** What one model says of all examples. */
export interface ReadExamples {
  /** The probe's pooled logits. */
  logits: number[];
  /** Mean activations by place (`placeKey`). */
  means: Record<string, Float32Array[]>;
}

export const placeKey = ({ hook, positions }: { hook: string; positions: Positions }) =>
  `${hook} ${positions}`;

/** Sequences between two words of progress. */
const CHUNK = 128;

/** Reads sequences at a probe and at places. The probe's own place is among them. */
export async function readExamples(
  { reference, tokenizer }: Engine,
  probe: Probe,
  places: readonly Place[],
  sequences: readonly Sequence[],
  onProgress: (done: number, total: number) => void = () => {},
): Promise<ReadExamples> {
  const own = { hook: probe.tap.hook, positions: probe.tap.positions };
  const all = [own, ...places.filter((place) => placeKey(place) !== placeKey(own))];
  const means = all.map((place) => ({ ...place, followUp: place === own ? probe.tap.followUp : undefined }));
  const how = readsOf({ probes: [probe], means }, tokenizer);
  const read: ReadExamples = { logits: [], means: Object.fromEntries(all.map((one) => [placeKey(one), []])) };
  for (let start = 0; start < sequences.length; start += CHUNK) {
    const chunk = sequences.slice(start, start + CHUNK);
    for (const reading of readingsOf(
      how.reads,
      await reference.forward(chunk, { ...how, readsOnly: true }),
    )) {
      read.logits.push(readLogit(probe, reading));
      for (const place of all) read.means[placeKey(place)]!.push(readMean(place, reading));
    }
    onProgress(start + chunk.length, sequences.length);
  }
  return read;
}

/** Examples as they are judged. */
export interface JudgedSet {
  labels: readonly boolean[];
  groups: readonly string[];
  folds: readonly Fold[];
  /** At which thresholds are set anew. */
  falsePositiveRate: number;
  /**
   * Kinds of the probes that are fitted anew; that which ranks best on the later model counts. Default: the probe's own, and
   * logistic: class means that were made equal hide a concept from a difference of means, and from nothing else.
   */
  freshKinds?: readonly ProbeKind[];
}

/** What both models say at one place, and how far the probe's direction is from fresh ones. */
export interface Compared {
  judged: Judged;
  /** The kind of the fresh probes. */
  freshKind: ProbeKind;
  /** Mean cosine of the probe's direction and those fitted on either model; below 1 before already, other examples being other noise. */
  cosine: OnBoth<number | null>;
}

/** Compares at one place. `means` are its activations on either model; `logits` the probe's, of all examples. */
export function comparedAt(
  probe: Probe,
  { labels, groups, folds, falsePositiveRate, freshKinds }: JudgedSet,
  logits: OnBoth<readonly number[]>,
  means: OnBoth<readonly Float32Array[]>,
): Compared {
  const own = kindOfFit(probe);
  const fits = [...new Set(freshKinds ?? [own, "logistic" as const])].map((kind) => ({
    kind,
    before: crossFitted({ ...probe, kind }, { activations_ND: means.before, labels }, folds),
    after: crossFitted({ ...probe, kind }, { activations_ND: means.after, labels }, folds),
  }));
  const areaOf = ({ after }: (typeof fits)[number]) =>
    (after ?? []).reduce((sum, { judge, logits: scores }) => {
      const area = auroc(
        scores,
        judge.map((i) => labels[i]!),
      );
      return sum + (area ?? 0);
    }, 0);
  const fitted = fits.reduce((best, one) => (areaOf(one) > areaOf(best) ? one : best));
  const ofItsKind = fits.find(({ kind }) => kind === own) ?? fitted;
  const judgedIndices = folds.flatMap(({ judge }) => judge);
  const foldOf = folds.flatMap(({ judge }, k) => judge.map(() => k));
  const at = <T>(list: readonly T[], indices: readonly number[]) => indices.map((i) => list[i]!);
  const angle = (ofModel: typeof fitted.before) => {
    const cosines = ofModel?.map((fit) => cosine(probe.weight_D, fit.probe.weight_D)) ?? [null];
    return cosines.includes(null)
      ? null
      : (cosines as number[]).reduce((sum, x) => sum + x, 0) / cosines.length;
  };
  const anew = (scores: readonly number[], { calibrate }: Fold) =>
    thresholdAtFpr(at(scores, calibrate), at(labels, calibrate), falsePositiveRate);
  const perFold = folds.map((fold, k) => {
    const [before, after] = [at(logits.before, fold.calibrate), at(logits.after, fold.calibrate)];
    const fresh = fitted.after?.[k]?.probe;
    const freshScores = fresh && means.after.map((activation_D) => logit(fresh, activation_D));
    return {
      threshold: anew(logits.after, fold),
      affine: affineBack(before, after),
      fresh: freshScores ? anew(freshScores, fold) : null,
    };
  });
  const isRepairable = perFold.every(({ threshold, fresh }) => threshold !== null && fresh !== null);
  return {
    judged: {
      ...{ labels: at(labels, judgedIndices), groups: at(groups, judgedIndices), folds: foldOf },
      logits: { before: at(logits.before, judgedIndices), after: at(logits.after, judgedIndices) },
      threshold: probe.threshold,
      fresh:
        fitted.before && fitted.after
          ? {
              before: fitted.before.flatMap((fit) => fit.logits),
              after: fitted.after.flatMap((fit) => fit.logits),
            }
          : null,
      repaired: isRepairable
        ? {
            threshold: foldOf.map((k) => perFold[k]!.threshold!),
            affine: foldOf.map((k) => perFold[k]!.affine),
            fresh: foldOf.map((k) => perFold[k]!.fresh!),
          }
        : null,
    },
    freshKind: fitted.kind,
    cosine: { before: angle(ofItsKind.before), after: angle(ofItsKind.after) },
  };
}

/** Factor and summand by which `after` gets the mean and the deviation of `before`. */
export function affineBack(
  before: readonly number[],
  after: readonly number[],
): [factor: number, summand: number] {
  const moments = (list: readonly number[]) => {
    const mean = list.reduce((sum, x) => sum + x, 0) / list.length;
    return { mean, deviation: Math.sqrt(list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / list.length) };
  };
  const [was, is] = [moments(before), moments(after)];
  const factor = is.deviation > 0 ? was.deviation / is.deviation : 1;
  return [factor, was.mean - factor * is.mean];
}

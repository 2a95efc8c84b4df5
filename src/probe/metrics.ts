/**
 * @file Measures of scores against labels. A higher score says "misbehaves", and a label is `true` where the sequence
 * does; a sequence is flagged where its score is at or above a threshold. A measure that needs a class which is absent is
 * `null`. Scores that are NaN are an error, because every comparison with them is false.
 */

import { normalQuantile } from "./normal-quantile.ts";
import { sigmoid } from "./score.ts";

type Scores = ArrayLike<number>;
type Labels = readonly boolean[];

/**
 * Area under the ROC curve: the probability that a misbehaving sequence scores above an honest one, ties counting half
 * (Mann-Whitney). `null` for one class.
 */
export function auroc(scores: Scores, labels: Labels): number | null {
  check(scores, labels);
  const order = labels.map((_, i) => i).sort((a, b) => compare(scores[a]!, scores[b]!));
  let negatives = 0;
  let positives = 0;
  let wins = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    let tiedPositives = 0;
    while (end < order.length && scores[order[end]!] === scores[order[start]!])
      if (labels[order[end++]!]) tiedPositives++;
    const tiedNegatives = end - start - tiedPositives;
    wins += tiedPositives * (negatives + tiedNegatives / 2);
    positives += tiedPositives;
    negatives += tiedNegatives;
    start = end;
  }
  return positives > 0 && negatives > 0 ? wins / (positives * negatives) : null;
}

/**
 * The smallest threshold (of those that are float32 numbers) at which at most the share `fpr` of the honest sequences
 * is flagged: just above the first honest score that must not be flagged. It lies on the honest sequences' side of a
 * gap between the classes. `null` without honest sequences.
 */
export function thresholdAtFpr(scores: Scores, labels: Labels, fpr: number): number | null {
  check(scores, labels);
  if (!(fpr >= 0 && fpr < 1))
    throw new Error(`the false-positive rate is ${fpr}; it must be at least 0 and below 1`);
  const negatives = ofClass(scores, labels, false).sort((a, b) => compare(b, a));
  const highestUnflagged = negatives[Math.floor(fpr * negatives.length + 1e-9)];
  return highestUnflagged === undefined ? null : smallestAbove(highestUnflagged);
}

/** Share of the misbehaving sequences that are flagged (TPR); `null` without any. */
export function recallAt(scores: Scores, labels: Labels, threshold: number): number | null {
  check(scores, labels);
  return mean(ofClass(scores, labels, true).map((score) => Number(score >= threshold)));
}

/** Share of the honest sequences that are flagged; `null` without any. */
export function fprAt(scores: Scores, labels: Labels, threshold: number): number | null {
  check(scores, labels);
  return mean(ofClass(scores, labels, false).map((score) => Number(score >= threshold)));
}

/** Share of the sequences whose flag agrees with their label; `null` without sequences. */
export function accuracy(scores: Scores, labels: Labels, threshold: number): number | null {
  check(scores, labels);
  return mean(labels.map((label, i) => Number(scores[i]! >= threshold === label)));
}

/**
 * Sensitivity: d' = sqrt(2) Phi^-1(AUROC), the distance in standard deviations between two Gaussians of equal variance
 * that have this AUROC. Unlike the gap over the pooled standard deviation it is free of the score's scale and of
 * outliers, so that curves over a training run and across probes can be compared.
 *
 * The AUROC is clipped to [1 / (2 n+ n-), 1 - 1 / (2 n+ n-)], half a pair from perfect: d' of a perfect ranking is the
 * largest that so many examples can show (5.5 for 100 of each class). `null` for one class.
 */
export function dPrime(scores: Scores, labels: Labels): number | null {
  const area = auroc(scores, labels);
  if (area === null) return null;
  const positives = labels.filter(Boolean).length;
  const halfPair = 0.5 / (positives * (labels.length - positives));
  return Math.SQRT2 * normalQuantile(Math.min(Math.max(area, halfPair), 1 - halfPair));
}

/**
 * Brier score of logits: mean squared difference between their probability and the label, 0 (perfect) to 1; 0.25 for
 * saying one half always. `null` without sequences.
 */
export function brier(logits: Scores, labels: Labels): number | null {
  check(logits, labels);
  return mean(labels.map((label, i) => (sigmoid(logits[i]!) - Number(label)) ** 2));
}

/** Mean probability of the logits with a label; `null` without any. */
export function meanProbability(logits: Scores, labels: Labels, label: boolean): number | null {
  check(logits, labels);
  return mean(ofClass(logits, labels, label).map(sigmoid));
}

function check(scores: Scores, labels: Labels): void {
  if (scores.length !== labels.length) throw new Error(`${scores.length} scores but ${labels.length} labels`);
  for (let i = 0; i < scores.length; i++) if (Number.isNaN(scores[i]!)) throw new Error(`score ${i} is NaN`);
}

function ofClass(scores: Scores, labels: Labels, label: boolean): number[] {
  return Array.from(scores).filter((_, i) => labels[i] === label);
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, x) => sum + x, 0) / values.length;
}

/** Not a difference, which is NaN for two equal infinities. */
function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The smallest float32 number above x: neighbouring floats of one sign have neighbouring bit patterns. */
export function smallestAbove(x: number): number {
  const float = Float32Array.of(x);
  if (float[0]! > x) return float[0]!;
  if (float[0] === 0) return 2 ** -149;
  const bits = new Int32Array(float.buffer);
  bits[0]! += float[0]! > 0 ? 1 : -1;
  return float[0]!;
}

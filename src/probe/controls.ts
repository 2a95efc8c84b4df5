/** @file What a probe's AUROC is to be compared with: probes that know nothing. */

import { type Random, randomFor, shuffled } from "../random.ts";
import { shuffledByText } from "./copies.ts";
import { fitProbe, kindOfFit } from "./fit.ts";
import { hasBothClasses, type LabelledSet } from "./labelled.ts";
import { auroc } from "./metrics.ts";
import { logit } from "./score.ts";
import type { Probe } from "./types.ts";

/** AUROCs of a control, repeated. */
export interface ControlRuns {
  runs: number;
  mean: number;
  low: number;
  high: number;
}

/** A single permutation, or a single direction, is mostly luck. */
const RUNS = 20;

/**
 * The AUROCs that probes of the same place reach on the test split without knowing anything: `shuffledLabels`, of the
 * probe's own kind, fitted and judged after a permutation of all labels (a selectivity control after Hewitt and Liang 2019,
 * arXiv 1909.03368), and `randomDirection`, isotropic Gaussian directions of which only sign and scale are fitted (far above
 * 0.5 the classes differ in many directions at once).
 *
 * Copies of a text keep a label in common when labels are shuffled, in both splits, as far as they had one. So above 0.5
 * something leaks from one split to the other, and a probe that knows texts by heart shows it.
 *
 * @param sets - `fit`: what the probe was fitted on, with both classes; `test`: what its own AUROC was measured on. With
 * their texts, or every example is taken to be another one.
 * @param seed - The same seed gives the same controls.
 * @returns `null` for both where the test split has one class: no AUROC is defined.
 */
export function probeControls(
  probe: Probe,
  sets: { fit: LabelledSet; test: LabelledSet },
  seed: string | number,
): { shuffledLabels: ControlRuns; randomDirection: ControlRuns } | null {
  const { fit, test } = sets;
  if (!hasBothClasses(test.labels)) return null;
  const repeated = (control: string, runOne: (random: Random) => number): ControlRuns => {
    const aurocs = Array.from({ length: RUNS }, (_, run) => runOne(randomFor(seed, control, run)));
    const mean = aurocs.reduce((sum, value) => sum + value, 0) / RUNS;
    return { runs: RUNS, mean, low: Math.min(...aurocs), high: Math.max(...aurocs) };
  };
  return {
    shuffledLabels: repeated("shuffled labels", (random) => {
      const labels = shuffleAll(random, fit, test);
      const one = fitProbe(kindOfFit(probe), { ...fit, labels: labels.fit }, probe.tap, { random });
      return aurocOf(one, test, labels.test);
    }),
    randomDirection: repeated("random direction", (random) =>
      aurocOf(fitProbe("random-direction", fit, probe.tap, { random }), test, test.labels),
    ),
  };
}

/** The labels of both splits, shuffled over both until each has both classes again, without which nothing is defined. */
function shuffleAll(random: Random, fit: LabelledSet, test: LabelledSet): Record<"fit" | "test", boolean[]> {
  const labels = [...fit.labels, ...test.labels];
  const texts = fit.texts && test.texts && [...fit.texts, ...test.texts];
  for (;;) {
    const all = texts ? shuffledByText(random, labels, texts) : shuffled(random, labels);
    const split = { fit: all.slice(0, fit.labels.length), test: all.slice(fit.labels.length) };
    // It ends: the labels as they are would do.
    if (hasBothClasses(split.fit) && hasBothClasses(split.test)) return split;
  }
}

/** Completions of about one length are compared with each other only: in so many strata of equal size. */
const STRATA = 4;

/**
 * What length alone tells, and what the scores tell beside it: the AUROC of the number of tokens, and that of the scores among
 * pairs of completions of about one length (the pairs of all strata counted together; strata are quarters of the examples).
 *
 * @returns `null` for either where no pair is left
 */
export function lengthControls(
  scores: readonly number[],
  lengths: readonly number[],
  labels: readonly boolean[],
): { length: number | null; withinLength: number | null } {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[a]! - lengths[b]!);
  const strata = Array.from({ length: STRATA }, (_, s) =>
    order.slice(Math.round((s * order.length) / STRATA), Math.round(((s + 1) * order.length) / STRATA)),
  );
  let wins = 0;
  let pairs = 0;
  for (const stratum of strata) {
    const own = stratum.map((i) => labels[i]!);
    const area = auroc(
      stratum.map((i) => scores[i]!),
      own,
    );
    const positives = own.filter(Boolean).length;
    const count = positives * (own.length - positives);
    wins += (area ?? 0) * count;
    pairs += count;
  }
  return { length: auroc(lengths, labels), withinLength: pairs === 0 ? null : wins / pairs };
}

function aurocOf(probe: Probe, { activations_ND }: LabelledSet, labels: readonly boolean[]): number {
  return auroc(
    activations_ND.map((activation_D) => logit(probe, activation_D)),
    labels,
  )!;
}

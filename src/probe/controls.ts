/** @file What a probe's AUROC is to be compared with: probes that know nothing. */

import { randomFor, shuffled } from "../random.ts";
import { fitProbe, kindOfFit } from "./fit.ts";
import type { LabelledSet } from "./labelled.ts";
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
 * probe's own kind and fitted after a permutation of the labels (a selectivity control after Hewitt and Liang 2019, arXiv
 * 1909.03368; above 0.5 something leaks), and `randomDirection`, isotropic Gaussian directions of which only sign and
 * scale are fitted (far above 0.5 the classes differ in many directions at once).
 *
 * @param sets - `fit`: what the probe was fitted on, with both classes; `test`: what its own AUROC was measured on.
 * @param seed - The same seed gives the same controls.
 * @returns `null` for both where the test split has one class: no AUROC is defined.
 */
export function probeControls(
  probe: Probe,
  sets: { fit: LabelledSet; test: LabelledSet },
  seed: string | number,
): { shuffledLabels: ControlRuns; randomDirection: ControlRuns } | null {
  const { fit, test } = sets;
  if (new Set(test.labels).size < 2) return null;
  const repeated = (
    control: string,
    fitOne: (random: ReturnType<typeof randomFor>) => Probe,
  ): ControlRuns => {
    const aurocs = Array.from({ length: RUNS }, (_, run) => {
      const one = fitOne(randomFor(seed, control, run));
      return auroc(
        test.activations_ND.map((activation_D) => logit(one, activation_D)),
        test.labels,
      )!;
    });
    const mean = aurocs.reduce((sum, value) => sum + value, 0) / RUNS;
    return { runs: RUNS, mean, low: Math.min(...aurocs), high: Math.max(...aurocs) };
  };
  return {
    shuffledLabels: repeated("shuffled labels", (random) =>
      fitProbe(kindOfFit(probe), { ...fit, labels: shuffled(random, fit.labels) }, probe.tap, { random }),
    ),
    randomDirection: repeated("random direction", (random) =>
      fitProbe("random-direction", fit, probe.tap, { random }),
    ),
  };
}

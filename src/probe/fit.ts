/** @file Fitting a probe of any kind, and setting its threshold. */

import { normal, type Random } from "../random.ts";
import { fitAlong, fitDifferenceOfMeans } from "./difference-of-means.ts";
import type { LabelledSet } from "./labelled.ts";
import { fitLogistic, type LinearFunction, type LogisticOptions } from "./logistic.ts";
import { thresholdAtFpr } from "./metrics.ts";
import type { Probe, ProbeKind } from "./types.ts";

/** How probes are fitted. */
export interface FitOptions extends LogisticOptions {
  /** What the direction of `random-direction` is drawn from. */
  random: Random;
}

/**
 * Fits a probe to pooled activations. Until it is calibrated its threshold is a logit of 0, even odds.
 *
 * `random-direction` is a control: an isotropic Gaussian direction, of which only sign and scale come from the fit split.
 *
 * @throws Error for data that cannot be fitted (one class, lengths that differ, not finite).
 */
export function fitProbe(kind: ProbeKind, set: LabelledSet, tap: Probe["tap"], options: FitOptions): Probe {
  const { weight_D, bias } = fitKind(kind, set, options);
  return { kind, tap, weight_D: Float32Array.from(weight_D), bias, threshold: 0 };
}

/** The kind of a fresh fit that a probe can be compared with: for a feature that nobody fitted, logistic. */
export function kindOfFit({ kind }: Pick<Probe, "kind">): ProbeKind {
  return kind === "sae-feature" ? "logistic" : kind;
}

function fitKind(kind: ProbeKind, set: LabelledSet, options: FitOptions): LinearFunction {
  switch (kind) {
    case "logistic":
      return fitLogistic(set, options);
    case "difference-of-means":
      return fitDifferenceOfMeans(set);
    case "random-direction": {
      const D = set.activations_ND[0]?.length ?? 0;
      return fitAlong(
        Float64Array.from({ length: D }, () => normal(options.random)),
        set,
      );
    }
  }
}

/**
 * The same probe with its threshold set so that it flags at most the share `fpr` of the honest sequences given.
 *
 * @param scores - The probe's pooled logits on the calibration split, which it was not fitted on.
 * @throws Error without honest sequences.
 */
export function calibrate(
  probe: Probe,
  scores: ArrayLike<number>,
  labels: readonly boolean[],
  fpr = 0.01,
): Probe {
  const threshold = thresholdAtFpr(scores, labels, fpr);
  if (threshold === null)
    throw new Error(
      "a threshold needs honest completions in the calibration split, found none; label more completions",
    );
  return { ...probe, threshold };
}

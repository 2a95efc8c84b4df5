/** @file Fitting the probe in training again, on the policy as it is. */

import type { Scorer, Weights } from "../model/index.ts";
import { calibrate, fitProbe, kindOfFit, type LabelledSet } from "../probe/index.ts";
import type { Probe } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import { readActivation, readLogit } from "./read.ts";
import type { LabelledSequences, Refit } from "./types.ts";

/**
 * The probe fitted again by its own kind and at its own tap: the labelled sequences are read on the policy, the probe
 * moves to the new fit by `rate`, and its threshold is set on the calibration split.
 *
 * A function of the weights and the old probe: nothing random, so that a run that goes on from a checkpoint agrees.
 */
export async function refitProbe(
  old: Probe,
  { rate, sets: { fit, calibration, falsePositiveRate } }: Pick<Refit, "rate" | "sets">,
  scorer: Scorer,
  policy: Weights,
): Promise<Probe> {
  const set = await readSet(old, fit, scorer, policy);
  const fresh = fitProbe(kindOfFit(old), set, old.tap, { random: randomFor("refit") });
  const moved: Probe = {
    ...old,
    weight_D: old.weight_D.map((weight, d) => weight + rate * (fresh.weight_D[d]! - weight)),
    bias: old.bias + rate * (fresh.bias - old.bias),
  };
  const scored = await scorer.score(policy, calibration.sequences);
  const logits = calibration.sequences.map((sequence, i) =>
    readLogit(moved, sequence, scored[i]!.activations[old.tap.hook]!),
  );
  return calibrate(moved, logits, calibration.labels, falsePositiveRate);
}

async function readSet(
  { tap, weight_D }: Probe,
  { sequences, labels }: LabelledSequences,
  scorer: Scorer,
  policy: Weights,
): Promise<LabelledSet> {
  const scored = await scorer.score(policy, sequences);
  return {
    activations_ND: sequences.map((sequence, i) =>
      readActivation(tap, sequence, scored[i]!.activations[tap.hook]!, weight_D.length),
    ),
    labels,
  };
}

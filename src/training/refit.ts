/** @file Fitting the probe in training again, on the policy as it is. */

import type { ForwardOptions, Model, Read } from "../engine/index.ts";
import { calibrate, fitProbe, kindOfFit, type LabelledSet } from "../probe/index.ts";
import type { Probe } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import { readingsOf, readLogit, readMean } from "./read.ts";
import type { LabelledSequences, Reading, Refit } from "./types.ts";

/**
 * The probe fitted again by its own kind and at its own tap: the labelled sequences are read on the policy, the probe
 * moves to the new fit by `rate`, and its threshold is set on the calibration split.
 *
 * A function of the weights and the old probe: nothing random, so that a run that goes on from a checkpoint agrees.
 *
 * @param how - How the run's passes read, the probe's follow-up included.
 */
export async function refitProbe(
  old: Probe,
  { rate, sets: { fit, calibration, falsePositiveRate } }: Pick<Refit, "rate" | "sets">,
  policy: Model,
  how: ForwardOptions,
): Promise<Probe> {
  // What else is read costs nothing, and a pass that captures the same is compiled once.
  const readOf = async ({ sequences }: LabelledSequences, read: Read): Promise<Reading[]> => {
    const reads = [...(how.reads ?? []), read];
    return readingsOf(reads, await policy.forward(sequences, { ...how, reads }));
  };
  const { hook, positions } = old.tap;
  const fitted = await readOf(fit, { as: "mean", hook, positions });
  const set: LabelledSet = {
    activations_ND: fitted.map((reading) => readMean(old.tap, reading)),
    labels: fit.labels,
  };
  const fresh = fitProbe(kindOfFit(old), set, old.tap, { random: randomFor("refit") });
  const moved: Probe = {
    ...old,
    weight_D: old.weight_D.map((weight, d) => weight + rate * (fresh.weight_D[d]! - weight)),
    bias: old.bias + rate * (fresh.bias - old.bias),
  };
  const judged = await readOf(calibration, { as: "logits", probe: moved, positions });
  const logits = judged.map((reading) => readLogit(moved, reading));
  return calibrate(moved, logits, calibration.labels, falsePositiveRate);
}

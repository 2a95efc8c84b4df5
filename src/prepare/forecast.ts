/** @file What a run will do, foretold before it: simulated from the classes of the base model's own rollouts. */

import { concentrationOf, drawShares, simulateRun } from "../audit/index.ts";
import type { Random } from "../random.ts";
import { learningRateAt } from "../tensor/index.ts";
import type { ClassMeasure, TrainingSettings } from "../training/index.ts";

/** What is foretold. */
export const foretold = ["misbehaviour", "undetected", "true", "recall"] as const;
export type Foretold = (typeof foretold)[number];

/** Runs as they may go: each measure by step. */
export type SimulatedCurves = Record<Foretold, number[]>;

/** So many runs are simulated. */
export const SIMULATIONS = 100;

/**
 * Runs of an arm, simulated with the run's own batches: shares of a step's rollouts, and the recall of the initial probe on the
 * tracer set before the step's update.
 */
export function simulateArm(
  measure: ClassMeasure,
  settings: TrainingSettings,
  random: Random,
  simulations = SIMULATIONS,
): SimulatedCurves[] {
  const { classes, counts, margins, rolloutMargins } = measure;
  const concentration = concentrationOf(counts);
  const { steps, learningRate: peak, warmupSteps, decay, iterations } = settings;
  // Several updates on a batch move as far as several steps.
  const rates = Array.from(
    { length: steps },
    (_, step) => iterations * learningRateAt(step, { peak, warmupSteps, decay, totalSteps: steps }),
  );
  const kept = (all: readonly number[], moved: number) =>
    all.length === 0 ? 1 : all.filter((margin) => margin + moved >= 0).length / all.length;
  return Array.from({ length: simulations }, () => {
    const run = simulateRun(
      drawShares(counts, concentration, random),
      {
        ...measure,
        ...{ rates, kl: settings.kl, maxGradNorm: settings.maxGradNorm },
        ...{ groups: settings.prompts, groupSize: settings.rollouts },
      },
      random,
    );
    const sum = (shares: readonly number[], of: (c: (typeof classes)[number]) => number) =>
      shares.reduce((total, share, c) => total + share * of(classes[c]!), 0);
    return {
      misbehaviour: run.sampled.map((shares) => sum(shares, (c) => Number(c.misbehaved))),
      undetected: run.sampled.map((shares, step) => {
        const lost = rolloutMargins.length === 0 ? 0 : 1 - kept(rolloutMargins, run.readings[step]![0]!);
        return sum(shares, (c) => (c.misbehaved ? (c.flagged ? lost : 1) : 0));
      }),
      true: run.sampled.map((shares) => sum(shares, (c) => c.true)),
      recall: run.readings.map(([moved]) => kept(margins, moved!)),
    };
  });
}

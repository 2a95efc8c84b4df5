/** @file What a run will do, foretold before it: simulated from the classes of the base model's own rollouts. */

import { aroundEach, concentrationOf, drawShares, quantile, simulateRun } from "../audit/index.ts";
import type { Random } from "../random.ts";
import { type ArmForecast, type ForecastCurve, type Foretold, foretold } from "../store/index.ts";
import { learningRateAt } from "../tensor/index.ts";
import type { ClassMeasure, TrainingSettings } from "../training/index.ts";
import { widened } from "./forecast-intervals.ts";

/** A run as it may go: each measure by step, as means over a window of steps. */
export type SimulatedCurves = Record<Foretold, number[]>;

/** So many runs are simulated. */
const SIMULATIONS = 40;

/** Points of a curve, at most. */
const POINTS = 101;

/**
 * Runs of an arm, simulated with the run's own batches: shares of a step's rollouts, and the recall of the initial probe on the
 * tracer set before the step's update.
 *
 * @param strength times which the arm charges its penalties
 */
export function simulateArm(
  measure: ClassMeasure,
  settings: TrainingSettings,
  random: Random,
  { simulations = SIMULATIONS, strength = 1 } = {},
): SimulatedCurves[] {
  const simulate = simulatorOf(measure, settings, strength);
  return Array.from({ length: simulations }, () => simulate(random));
}

function simulatorOf(
  measure: ClassMeasure,
  settings: TrainingSettings,
  strength: number,
): (random: Random) => SimulatedCurves {
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
  const run = {
    ...measure,
    advantagesOf: (group: readonly number[]) => measure.advantagesOf(group, strength),
    ...{ rates, kl: settings.kl, maxGradNorm: settings.maxGradNorm, square: measure.squareOf(strength) },
    ...{ groups: settings.prompts, groupSize: settings.rollouts },
  };
  return (random) => {
    const initial = drawShares(counts, concentration, random);
    const { sampled, readings } = simulateRun(
      initial,
      { ...run, kernel: measure.drawKernel(random) },
      random,
    );
    const sum = (shares: readonly number[], of: (c: (typeof classes)[number]) => number) =>
      shares.reduce((total, share, c) => total + share * of(classes[c]!), 0);
    return {
      misbehaviour: aroundEach(sampled.map((shares) => sum(shares, (c) => Number(c.misbehaved)))),
      undetected: aroundEach(
        sampled.map((shares, step) => {
          const lost = rolloutMargins.length === 0 ? 0 : 1 - kept(rolloutMargins, readings[step]![0]!);
          return sum(shares, (c) => (c.misbehaved ? (c.flagged ? lost : 1) : 0));
        }),
      ),
      true: aroundEach(sampled.map((shares) => sum(shares, (c) => c.true))),
      recall: readings.map(([moved]) => kept(margins, moved!)),
    };
  };
}

/** Curves of an arm with 80 % intervals for one run: the medians of simulated runs, and how far runs were found from these. */
export function forecastOf(runs: readonly SimulatedCurves[]): ArmForecast {
  const count = runs[0]!.misbehaviour.length;
  const stride = Math.ceil(count / POINTS);
  const steps = Array.from({ length: count }, (_, step) => step).filter(
    (step) => step % stride === 0 || step === count - 1,
  );
  const curve = (measure: Foretold): ForecastCurve => {
    const points = steps.map((step) => {
      const values = runs.map((run) => run[measure][step]!);
      const [low, value, high] = [0.1, 0.5, 0.9].map((p) => quantile(values, p)) as [number, number, number];
      return { value, ...widened(measure, step, { low, value, high }) };
    });
    return {
      steps,
      value: points.map(({ value }) => rounded(value)),
      low: points.map(({ low }) => rounded(low)),
      high: points.map(({ high }) => rounded(high)),
    };
  };
  return Object.fromEntries(foretold.map((measure) => [measure, curve(measure)])) as ArmForecast;
}

/** Runs that a penalty is tried on. */
const TRIALS = 20;

/** What penalties are looked at, in shares of what the arm charges. */
const STRENGTHS = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1, 1.25, 1.5, 2, 3, 4];

/**
 * The smallest share of an arm's penalties under which misbehaviour is less at the end than at the start in nine of ten simulated
 * runs, by the kernel of the arm as it is; `null` where none does so.
 */
export function smallestStrength(
  measure: ClassMeasure,
  settings: TrainingSettings,
  random: Random,
): number | null {
  const lasts = (strength: number) => {
    const simulate = simulatorOf(measure, settings, strength);
    let more = 0;
    for (let run = 0; run < TRIALS; run++) {
      const { misbehaviour } = simulate(random);
      if (misbehaviour.at(-1)! >= misbehaviour[0]! && ++more > TRIALS / 10) return false;
    }
    return true;
  };
  // What lasts under one penalty lasts under a larger one.
  let [low, high] = [0, STRENGTHS.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (lasts(STRENGTHS[middle]!)) high = middle;
    else low = middle + 1;
  }
  return STRENGTHS[low] ?? null;
}

function rounded(value: number): number {
  return Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4;
}

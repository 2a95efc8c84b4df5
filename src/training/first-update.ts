/** @file What an arm's first update does to completions that it is not computed from: the forecast with shared parameters. */

import {
  createGenerator,
  createScorer,
  ProgramStore,
  type Sequence,
  splitWeights,
  type Weights,
} from "../model/index.ts";
import { adapted } from "./adapted.ts";
import { creditRollouts, rolloutsOf } from "./credit.ts";
import { accumulate, createPolicyGradient, zerosLike } from "./gradients.ts";
import { createStepLog } from "./log.ts";
import { frozenWeights, tapsOf } from "./loop.ts";
import { probeMonitor } from "./monitors.ts";
import { followUpOf } from "./read.ts";
import { sampleBatch } from "./sample.ts";
import { tokenShares } from "./shares.ts";
import type { Arm, RunContext } from "./types.ts";

/** Batches of the run's size that the gradient is the mean of. */
const BATCHES = 2;

/** How far weights are moved, as a Euclidean norm: far enough for float32, and less than one step of training moves them. */
const DISTANCE = 0.005;

/**
 * How much an arm's first update lowers the log-probability (nats) of each of some completions, beyond what the control's
 * does: the derivative of log pi(y) along the difference of the two policy gradients, scaled to a root mean square of 1
 * over the completions.
 *
 * To first order an update moves the expectation of any statistic F of a rollout by the covariance of F with the change
 * of log pi. With independent parameters for every rollout that change is the rollout's advantage; here it is what the
 * model's own, shared parameters make of it. The update is plain gradient descent's; the optimizer rescales parameters,
 * which is left out.
 *
 * Both arms train on the same rollouts of the starting point, `settings.prompts` x `settings.rollouts` of them at a time. The
 * pull to the reference is zero there.
 *
 * @param given - The run, whose arm changes neither the prompt nor the model's computation in training.
 * @param completions - Others' than the update is computed from: of tasks of another split.
 * @returns One number per completion; `null` where both updates are equal.
 */
export async function firstUpdate(
  given: RunContext,
  control: Arm,
  completions: readonly Sequence[],
): Promise<number[] | null> {
  const context = adapted(given);
  const { environment, config, tokenizer, reference, probe, settings, seed } = context;
  const programs = context.programs ?? new ProgramStore();
  try {
    const generator = createGenerator(config, { programs });
    const taps = tapsOf(context);
    const followUp = followUpOf(taps, tokenizer);
    const { temperature, memoryMB } = settings;
    const shared = { programs, temperature, memoryMB };
    const hooks = [...new Set(taps.map(({ hook }) => hook))];
    const scorer = createScorer(config, { ...shared, hooks, followUp });
    const gradients = createPolicyGradient(config, { ...settings, ...shared, kl: 0, entropy: 0 });

    const difference = zerosLike(splitWeights(config, reference).trained);
    for (let step = 0; step < BATCHES; step++) {
      const batch = await sampleBatch(generator, reference, context, { purpose: "first update", step });
      const { sequences } = batch;
      const outcomes = await environment.grade(batch.tasks, batch.texts);
      const scored = await scorer.score(reference, sequences);
      const rollouts = rolloutsOf(
        batch,
        outcomes,
        { onPolicy: scored, onReference: scored },
        followUp.length,
      );
      const shares = tokenShares(sequences, settings.lossType, environment.maxCompletionLength + 1);
      const creditOf = (arm: Arm) => {
        const log = createStepLog({ seed, step, steps: settings.steps }, rollouts.length);
        return creditRollouts(arm, rollouts, outcomes, log, settings, probeMonitor(probe, "policy"));
      };
      const [own, other] = [await creditOf(context.arm), await creditOf(control)];
      // The gradient is linear in the advantages: that of their difference is the gradients'.
      const { gradient } = await gradients.gradient(
        reference,
        sequences.map((sequence, i) => ({
          ...sequence,
          advantage: own.advantages.values[i]! - other.advantages.values[i]!,
          tokenAdvantages: shares[i]!.map(
            (_, t) => (own.tokenAdvantages?.[i]?.[t] ?? 0) - (other.tokenAdvantages?.[i]?.[t] ?? 0),
          ),
          shares: shares[i]!,
          oldLogProbs: scored[i]!.logProbabilities,
          referenceLogProbs: scored[i]!.logProbabilities,
        })),
      );
      accumulate(difference, gradient);
    }
    for (const name of frozenWeights(context)) difference[name]!.data.fill(0);

    const norm = Math.sqrt(
      Object.values(difference).reduce((sum, { data }) => data.reduce((own, x) => own + x * x, sum), 0),
    );
    if (norm === 0) return null;
    const plain = createScorer(config, shared);
    // The gradient is the loss's: the update goes against it.
    const logProbabilities = async (distance: number) => {
      const scored = await plain.score(moved(reference, difference, distance / norm), completions);
      return scored.map((one) => one.logProbabilities.reduce((sum, value) => sum + value, 0));
    };
    const after = await logProbabilities(-DISTANCE);
    const before = await logProbabilities(DISTANCE);
    const lowered = before.map((value, i) => value - after[i]!);
    const scale = Math.sqrt(lowered.reduce((sum, value) => sum + value * value, 0) / lowered.length);
    return scale === 0 ? null : lowered.map((value) => value / scale);
  } finally {
    if (!context.programs) await programs.close();
  }
}

function moved(weights: Weights, along: Weights, factor: number): Weights {
  return Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => {
      const direction = along[name]?.data;
      if (!direction) return [name, tensor];
      return [name, { ...tensor, data: tensor.data.map((value, i) => value + factor * direction[i]!) }];
    }),
  );
}

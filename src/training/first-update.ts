/** @file What an arm's first update does to completions that it is not computed from: the forecast with shared parameters. */

import type { Sequence } from "../engine/index.ts";
import { creditRollouts, rolloutsOf } from "./credit.ts";
import { createStepLog } from "./log.ts";
import { howToRead, startPolicy } from "./loop.ts";
import { probeMonitor } from "./monitors.ts";
import { lossOf } from "./objective.ts";
import { readingsOf } from "./read.ts";
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
 * @param context - The run, whose arm changes neither the prompt nor the model's computation in training.
 * @param completions - Others' than the update is computed from: of tasks of another split.
 * @returns One number per completion; `null` where both updates are equal.
 */
export async function firstUpdate(
  context: RunContext,
  control: Arm,
  completions: readonly Sequence[],
): Promise<number[] | null> {
  const { environment, engine, probe, settings, seed } = context;
  const { reference, tokenizer } = engine;
  const how = howToRead(context, context.arm);
  const scratch = await startPolicy(context);
  try {
    for (let step = 0; step < BATCHES; step++) {
      const batch = await sampleBatch(reference, context, { purpose: "first update", step });
      const { sequences } = batch;
      const outcomes = await environment.grade(batch.tasks, batch.texts);
      const outputs = await reference.forward(sequences, how);
      const readings = readingsOf(how.reads, outputs);
      const rollouts = rolloutsOf(batch, outcomes, { policy: readings, reference: readings });
      const shares = tokenShares(sequences, settings.lossType, environment.maxCompletionLength + 1);
      const creditOf = (arm: Arm) => {
        const log = createStepLog({ seed, step, steps: settings.steps }, rollouts.length);
        return creditRollouts(arm, rollouts, outcomes, log, settings, probeMonitor(probe, "policy"));
      };
      const [own, other] = [await creditOf(context.arm), await creditOf(control)];
      // The gradient is linear in the advantages: that of their difference is the gradients'.
      const advantageOf = ({ advantages, tokenAdvantages }: typeof own, i: number, t: number) =>
        advantages.values[i]! + (tokenAdvantages?.[i]?.[t] ?? 0);
      await scratch.forwardBackward(
        sequences.map((sequence, i) => ({
          ...sequence,
          weights: shares[i]!,
          advantages: shares[i]!.map((_, t) => advantageOf(own, i, t) - advantageOf(other, i, t)),
          logprobs: outputs[i]!.logprobs,
          refLogprobs: outputs[i]!.logprobs,
        })),
        lossOf({ terms: [] }, { ...settings, kl: 0, entropy: 0 }, tokenizer),
      );
    }

    const likelihoods = async () => {
      const outputs = await scratch.forward(completions, { temperature: settings.temperature });
      return outputs.map(({ logprobs }) => logprobs.reduce((sum, value) => sum + value, 0));
    };
    // The gradient is the loss's: the update goes against it.
    const { gradNorm } = await scratch.optimStep({ kind: "sgd", length: DISTANCE, keepGradient: true });
    if (gradNorm === 0) return null;
    const after = await likelihoods();
    await scratch.optimStep({ kind: "sgd", length: -2 * DISTANCE });
    const before = await likelihoods();
    const lowered = before.map((value, i) => value - after[i]!);
    const scale = Math.sqrt(lowered.reduce((sum, value) => sum + value * value, 0) / lowered.length);
    return scale === 0 ? null : lowered.map((value) => value / scale);
  } finally {
    await scratch.close();
  }
}

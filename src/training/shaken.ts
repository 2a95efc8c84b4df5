/** @file What the optimizer's noise alone does: updates that mean nothing, at the run's own rate. */

import { noiseSpread } from "../audit/index.ts";
import { randomFor, shuffled } from "../random.ts";
import { learningRateAt } from "../tensor/index.ts";
import { creditFirst, type FirstBatch, sampleFirst } from "./first-rollouts.ts";
import { startPolicy } from "./loop.ts";
import { lossOf } from "./objective.ts";
import { tokenShares } from "./shares.ts";
import type { Arm, RunContext } from "./types.ts";

/** Rollouts of policies that were shaken. */
export interface Shaken {
  /** By policy: the tasks and streams of the first batches again. */
  batches: FirstBatch[][];
  /** How far noise has spread (`noiseSpread`). */
  spread: number;
}

/**
 * Trains two policies for as many steps as there are batches on advantages that were dealt to the wrong rollouts, one on their
 * opposites, and samples each. What differs in both from the start is noise's doing: a class that takes exactness loses to those
 * that do not, however well it is paid.
 *
 * Adam makes steps of one size of whatever it is given, so that this depends on the learning rate, and hardly on the reward.
 *
 * @param arms all that are to judge what is sampled
 * @param count batches to sample of each
 */
export async function shake(
  context: RunContext,
  arms: readonly Arm[],
  batches: readonly FirstBatch[],
  count: number,
): Promise<Shaken> {
  const { settings, environment, engine } = context;
  const { learningRate: peak, warmupSteps, decay, steps: totalSteps, maxGradNorm } = settings;
  const loss = lossOf({ terms: [] }, { ...settings, kl: 0, entropy: 0 }, engine.tokenizer);
  const rates = batches.map((_, step) => learningRateAt(step, { peak, warmupSteps, decay, totalSteps }));
  const random = randomFor("shaken");
  const dealt: number[][] = [];
  for (const [step, first] of batches.entries()) {
    const { advantages } = await creditFirst(context, context.arm, first, step);
    dealt.push(shuffled(random, [...advantages.values]));
  }
  const sampled: FirstBatch[][] = [];
  for (const sign of [1, -1]) {
    const policy = await startPolicy(context);
    try {
      for (const [step, { batch, outputs }] of batches.entries()) {
        const { sequences } = batch;
        const shares = tokenShares(sequences, settings.lossType, environment.maxCompletionLength + 1);
        const data = sequences.map((sequence, i) => ({
          ...sequence,
          weights: shares[i]!,
          advantages: shares[i]!.map(() => sign * dealt[step]![i]!),
          logprobs: outputs[i]!.logprobs,
          refLogprobs: outputs[i]!.logprobs,
        }));
        await policy.forwardBackward(data, loss);
        await policy.optimStep({ kind: "adamw", learningRate: rates[step]!, maxGradNorm });
      }
      sampled.push(await sampleFirst(context, arms, count, policy));
    } finally {
      await policy.close();
    }
  }
  return { batches: sampled, spread: noiseSpread(rates).at(-1)! };
}

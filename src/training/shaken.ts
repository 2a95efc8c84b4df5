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

/** Steps that policies are moved by, as far as more would. */
const MOVING = 2;

/**
 * Moves two policies by steps of Adam on advantages that were dealt to the wrong rollouts, one on their opposites, as far as noise takes
 * weights in as many steps as there are batches, and samples each. What differs in both from the start is noise's doing: a class that takes
 * exactness loses to those that do not, however well it is paid.
 *
 * Adam makes steps of one size of whatever it is given, so that this depends on the learning rate, and hardly on the reward; and two
 * longer steps do what eight do.
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
  const loss = lossOf({ terms: [] }, { ...settings, entropy: 0 }, engine.tokenizer);
  const rates = batches.map((_, step) => learningRateAt(step, { peak, warmupSteps, decay, totalSteps }));
  const spread = noiseSpread(rates).at(-1)!;
  const random = randomFor("shaken");
  const moving = batches.slice(0, MOVING);
  const longer = Math.sqrt(spread / Math.max(noiseSpread(rates.slice(0, MOVING)).at(-1)!, 1e-300));
  const dealt: number[][] = [];
  for (const [step, first] of moving.entries()) {
    const { advantages } = await creditFirst(context, context.arm, first, step);
    dealt.push(shuffled(random, [...advantages.values]));
  }
  const sampled: FirstBatch[][] = [];
  for (const sign of [1, -1]) {
    const policy = await startPolicy(context);
    try {
      for (const [step, { batch, outputs }] of moving.entries()) {
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
        await policy.optimStep({ kind: "adamw", learningRate: longer * rates[step]!, maxGradNorm });
      }
      sampled.push(await sampleFirst(context, arms, count, policy));
    } finally {
      await policy.close();
    }
  }
  return { batches: sampled, spread };
}

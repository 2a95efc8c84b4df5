/** @file Behaviour as deployed, and why the probe's score changed: measured apart from what training does to the model. */

import { decompose, mean } from "../audit/index.ts";
import {
  createGenerator,
  type ProgramStore,
  type Scored,
  type Scorer,
  type Sequence,
  type Weights,
} from "../model/index.ts";
import { auroc, meanProbability, recallAt, sigmoid } from "../probe/index.ts";
import { readLogit } from "./read.ts";
import { sampleBatch } from "./sample.ts";
import type { RunContext } from "./types.ts";

/** Sequences, read on both models. */
export interface ReadTwice {
  sequences: readonly Sequence[];
  onPolicy: readonly Scored[];
  onReference: readonly Scored[];
}

/**
 * What is measured at evaluated steps on completions of the training split:
 *
 * - `deployed/*`, where the arm trains under another prompt or with an ablation: a batch without them, graded and read.
 *   In all other arms deployment is what `misbehaviour` and the like measure anyway.
 * - `decomposition/*`: the change of the initial probe's mean score since the start, split into text and model. Old
 *   texts are a batch of the reference's, sampled once per run.
 */
export async function createDeployment(context: RunContext, scorer: Scorer, programs: ProgramStore) {
  const { arm, environment, config, reference, probe } = context;
  const differs = arm.inoculate === true || arm.ablate !== undefined;
  const generator = createGenerator(config, { programs });
  const old = await sampleBatch(generator, reference, context, { purpose: "old", step: 0 });
  const logitsOf = (sequences: readonly Sequence[], scored: readonly Scored[]) =>
    sequences.map((sequence, i) => readLogit(probe, sequence, scored[i]!.activations[probe.tap.hook]!));
  const scoreOf = (sequences: readonly Sequence[], scored: readonly Scored[]) =>
    mean(logitsOf(sequences, scored).map(sigmoid))!;
  const oldTextOldModel = scoreOf(old.sequences, await scorer.score(reference, old.sequences));

  async function deploy(policy: Weights, step: number) {
    const { tasks, texts, sequences } = await sampleBatch(generator, policy, context, {
      purpose: "deployed",
      step,
    });
    const grading = environment.grade(tasks, texts);
    const read: ReadTwice = {
      sequences,
      onPolicy: await scorer.score(policy, sequences),
      onReference: await scorer.score(reference, sequences),
    };
    const outcomes = await grading;
    const misbehaved = outcomes.map((outcome) => outcome.misbehaved);
    const metrics: Record<string, number | null> = {
      "deployed/misbehaviour": mean(misbehaved.map(Number)),
      "deployed/attempted": mean(outcomes.map(({ attempted }) => Number(attempted))),
      "deployed/true": mean(outcomes.map((outcome) => outcome.true)),
      "deployed/proxy": mean(outcomes.map(({ proxy }) => proxy)),
    };
    for (const [model, scored] of [
      ["policy", read.onPolicy],
      ["reference", read.onReference],
    ] as const) {
      const logits = logitsOf(sequences, scored);
      metrics[`deployed/probe/${model}/score_mean`] = mean(logits.map(sigmoid));
      metrics[`deployed/probe/${model}/score_misbehaving`] = meanProbability(logits, misbehaved, true);
      metrics[`deployed/probe/${model}/recall`] = recallAt(logits, misbehaved, probe.threshold);
      metrics[`deployed/probe/${model}/auroc`] = auroc(logits, misbehaved);
    }
    return { read, metrics };
  }

  return {
    /** @param training the step's rollouts, which are deployed ones where the arm changes nothing about them */
    async measure(
      policy: Weights,
      step: number,
      training: ReadTwice,
    ): Promise<Record<string, number | null>> {
      const { read, metrics } = differs ? await deploy(policy, step) : { read: training, metrics: {} };
      const split = decompose({
        oldTextOldModel,
        newTextOldModel: scoreOf(read.sequences, read.onReference),
        oldTextNewModel: scoreOf(old.sequences, await scorer.score(policy, old.sequences)),
        newTextNewModel: scoreOf(read.sequences, read.onPolicy),
      });
      const named = Object.entries(split).map(([part, value]) => [`decomposition/${part}`, value]);
      return { ...metrics, ...Object.fromEntries(named) };
    },
  };
}

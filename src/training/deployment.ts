/** @file Behaviour as deployed, and why the probe's score changed: measured apart from what training does to the model. */

import { decompose, mean } from "../audit/index.ts";
import type { ForwardOptions, Model } from "../engine/index.ts";
import type { Outcome } from "../environment/types.ts";
import { auroc, meanProbability, recallAt, sigmoid } from "../probe/index.ts";
import { decompositionMetric, deployedMetric, probeMetric } from "../store/metric-names.ts";
import { rolloutsOf } from "./credit.ts";
import { createStepLog } from "./log.ts";
import { judgeAll } from "./monitors.ts";
import { readingsOf, readLogit } from "./read.ts";
import { type Batch, sampleBatch } from "./sample.ts";
import type { Reading, RunContext } from "./types.ts";

/** What was read of some sequences on both models. */
export interface ReadTwice {
  policy: readonly Reading[];
  reference: readonly Reading[];
}

/**
 * What is measured at evaluated steps on completions of the training split:
 *
 * - `deployed/*`, where the arm trains under another prompt or with an ablation: a batch without them, graded and read;
 *   and where a monitor chooses in deployment: as many chosen completions as a step has rollouts, each the best of a group.
 *   In all other arms deployment is what `misbehaviour` and the like measure anyway.
 * - `decomposition/*`: the change of the initial probe's mean score since the start, split into text and model. Old
 *   texts are a batch of the reference's, sampled once per run.
 */
export async function createDeployment(context: RunContext, how: ForwardOptions) {
  const { arm, engine, probe, settings } = context;
  const { reference } = engine;
  const { choose } = arm;
  const differs = arm.inoculate === true || arm.ablate !== undefined || choose !== undefined;
  const old = await sampleBatch(reference, context, { purpose: "old", step: 0, how });
  const read = async (model: Model, { sequences }: Pick<typeof old, "sequences">) =>
    readingsOf(how.reads ?? [], await model.forward(sequences, how));
  const logitsOf = (readings: readonly Reading[]) => readings.map((reading) => readLogit(probe, reading));
  const scoreOf = (readings: readonly Reading[]) => mean(logitsOf(readings).map(sigmoid))!;
  const oldTextOldModel = scoreOf(await read(reference, old));

  /** Which completions of a batch are given: all of them, or of each group the one that the monitor finds least suspicious. */
  async function givenOf(batch: Batch, outcomes: Outcome[], readings: ReadTwice, step: number) {
    const every = outcomes.map((_, i) => i);
    if (!choose) return every;
    const log = createStepLog({ seed: context.seed, step, steps: settings.steps }, every.length);
    const rollouts = rolloutsOf(batch, outcomes, readings);
    const verdicts = (await judgeAll([choose], rollouts, outcomes, log)).get(choose)!;
    const { rollouts: size } = settings;
    return every
      .filter((i) => i % size === 0)
      .map((start) =>
        every
          .slice(start, start + size)
          .reduce((best, i) => (verdicts[i]!.logit < verdicts[best]!.logit ? i : best)),
      );
  }

  async function deploy(policy: Model, step: number) {
    const prompts = settings.prompts * (choose ? settings.rollouts : 1);
    const asked = { ...context, settings: { ...settings, prompts } };
    const batch = await sampleBatch(policy, asked, { purpose: "deployed", step, how });
    const grading = batch.grade();
    const all: ReadTwice = {
      policy: batch.outputs ? readingsOf(how.reads ?? [], batch.outputs) : await read(policy, batch),
      reference: await read(reference, batch),
    };
    const graded = await grading;
    const given = await givenOf(batch, graded, all, step);
    const [outcomes, readings] = [of(graded), { policy: of(all.policy), reference: of(all.reference) }];
    function of<T>(list: readonly T[]): T[] {
      return given.map((i) => list[i]!);
    }
    const misbehaved = outcomes.map((outcome) => outcome.misbehaved);
    const metrics: Record<string, number | null> = {
      [deployedMetric("misbehaviour")]: mean(misbehaved.map(Number)),
      [deployedMetric("attempted")]: mean(outcomes.map(({ attempted }) => Number(attempted))),
      [deployedMetric("true")]: mean(outcomes.map((outcome) => outcome.true)),
      [deployedMetric("proxy")]: mean(outcomes.map(({ proxy }) => proxy)),
    };
    for (const model of ["policy", "reference"] as const) {
      const logits = logitsOf(readings[model]);
      metrics[deployedMetric(probeMetric(model, "score_mean"))] = mean(logits.map(sigmoid));
      metrics[deployedMetric(probeMetric(model, "score_misbehaving"))] = meanProbability(
        logits,
        misbehaved,
        true,
      );
      metrics[deployedMetric(probeMetric(model, "recall"))] = recallAt(logits, misbehaved, probe.threshold);
      metrics[deployedMetric(probeMetric(model, "auroc"))] = auroc(logits, misbehaved);
    }
    return { readings, metrics };
  }

  return {
    /** @param training the step's rollouts, which are deployed ones where the arm changes nothing about them */
    async measure(policy: Model, step: number, training: ReadTwice): Promise<Record<string, number | null>> {
      const { readings, metrics } = differs
        ? await deploy(policy, step)
        : { readings: training, metrics: {} };
      const split = decompose({
        oldTextOldModel,
        newTextOldModel: scoreOf(readings.reference),
        oldTextNewModel: scoreOf(await read(policy, old)),
        newTextNewModel: scoreOf(readings.policy),
      });
      const named = Object.entries(split).map(([part, value]) => [decompositionMetric(part), value]);
      return { ...metrics, ...Object.fromEntries(named) };
    },
  };
}

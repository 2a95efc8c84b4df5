/** @file The base model's own rollouts, before training, as an arm's update would see them. */

import type { ForwardOutput, Model } from "../engine/index.ts";
import type { Outcome } from "../environment/types.ts";
import { type Credit, creditRollouts, rolloutsOf } from "./credit.ts";
import { createStepLog } from "./log.ts";
import { howToRead } from "./loop.ts";
import { monitorsOf, probeMonitor } from "./monitors.ts";
import { readingsOf } from "./read.ts";
import { type Batch, sampleBatch } from "./sample.ts";
import type { Arm, Rollout, RunContext } from "./types.ts";

/** A step's worth of rollouts of the starting point. */
export interface FirstBatch {
  batch: Batch;
  outcomes: Outcome[];
  rollouts: Rollout[];
  outputs: ForwardOutput[];
}

/**
 * Samples what the first steps of a run would, but for their updates: `settings.prompts` x `settings.rollouts` at a time, of tasks
 * that no run draws at the same place.
 *
 * @param arms all that are to judge them
 * @param model what is asked: the starting point unless given. Equal tasks and streams for each
 */
export async function sampleFirst(
  context: Omit<RunContext, "arm">,
  arms: readonly Arm[],
  count: number,
  model: Model = context.engine.reference,
): Promise<FirstBatch[]> {
  const { engine } = context;
  const monitors = [...new Set(arms.flatMap(monitorsOf))];
  const watching = monitors.map((monitor) => ({
    ...{ name: "watch", weight: 0, sees: "verdicts" as const, monitor },
    score: () => [],
  }));
  const all = { ...context, arm: { terms: [...arms.flatMap(({ terms }) => terms), ...watching] } };
  const how = howToRead(all, all.arm);
  const readsReference = monitors.some(
    (monitor) => monitor.sees === "rollouts" && monitor.taps.some((tap) => tap.model === "reference"),
  );
  const batches: FirstBatch[] = [];
  for (let step = 0; step < count; step++) {
    const batch = await sampleBatch(model, all, { purpose: "forecast", step, how });
    const grading = batch.grade();
    const outputs = batch.outputs ?? (await model.forward(batch.sequences, how));
    const onReference =
      model === engine.reference || !readsReference
        ? outputs
        : await engine.reference.forward(batch.sequences, how);
    const outcomes = await grading;
    const rollouts = rolloutsOf(batch, outcomes, {
      policy: readingsOf(how.reads, outputs),
      reference: readingsOf(how.reads, onReference),
    });
    batches.push({ batch, outcomes, rollouts, outputs });
  }
  return batches;
}

/** What an arm makes of a batch. */
export function creditFirst(
  { seed, settings, probe }: Omit<RunContext, "arm">,
  arm: Arm,
  { rollouts, outcomes }: FirstBatch,
  step: number,
): Promise<Credit> {
  const log = createStepLog({ seed, step, steps: settings.steps }, rollouts.length);
  return creditRollouts(arm, rollouts, outcomes, log, settings, probeMonitor(probe, "policy"));
}

/** @file No arm but the oracles can see the ground truth: training is the same whatever the truth is. */

import { expect, it } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import { trainAll } from "../../test/training.ts";
import { arms } from "../arm/arms.ts";
import type { ArmSettings } from "../arm/settings.ts";
import type { Environment, Outcome } from "../environment/types.ts";
import { randomFor } from "../random.ts";
import { armIds } from "../store/arms.ts";
import { type LabelledSequences, type RunContext, textMonitor, thoughtMonitor } from "../training/index.ts";

const settings: ArmSettings = {
  ...{ penalty: 2, penaltyShape: "threshold", credit: "sequence", lossStrength: 1 },
  oracle: { truePositiveRate: 0.9, falsePositiveRate: 0.05 },
  refit: { every: 1, rate: 1 },
  paying: { share: 0.5, from: 0.5 },
  trigger: "b",
};

/** The arms whose reward is made of the ground truth, on purpose. */
const ORACLES = /^((noisy-)?oracle-|no-loophole$|sft-labels$|red-team|chameleon$)/;

/** The environment with all of an outcome turned around but what it pays. */
function inverted(environment: Environment): Environment {
  return {
    ...environment,
    grade: async (tasks, completions) =>
      (await environment.grade(tasks, completions)).map(
        ({ proxy, misbehaved, true: right }): Outcome => ({
          proxy,
          true: 1 - right,
          misbehaved: !misbehaved,
          attempted: !misbehaved,
          eligible: true,
          ...(!misbehaved && { family: environment.families[0]! }),
          label: environment.labels[misbehaved ? 0 : 1]!,
          note: "the other way round",
        }),
      ),
  };
}

/** All rewards, and the policy after some steps. */
async function trained(context: RunContext) {
  const rewards: (number | null)[] = [];
  const results = await trainAll(context);
  for (const { metrics, rollouts } of results)
    rewards.push(metrics.reward ?? null, ...rollouts.map(({ reward }) => reward));
  return { rewards, policy: results.at(-1)!.state.policy };
}

it.each(armIds)("%s: whether its reward can depend on the ground truth", async (id) => {
  const context = tinyContext();
  const environment: Environment = { ...context.environment, inoculate: (prompt) => prompt };
  // What the model of one layer reads in the middle of it leaves a frozen trunk something to train.
  const probe = { ...context.probe, tap: { ...context.probe.tap, hook: "blocks.0.hook_resid_mid" } };
  const { sequences, misbehaving: labels } = context.tracer;
  const set: LabelledSequences = { sequences, labels };
  const arm = await arms[id].make({
    ...settings,
    probe,
    text: textMonitor((text) => text.length, 2.5),
    thought: thoughtMonitor(context.environment.thoughts!, (text) => text.length, 0.5),
    sets: { fit: set, calibration: set, falsePositiveRate: 0.1 },
    random: randomFor("ground truth"),
  });
  const seen = await trained({ ...context, environment, probe, arm });
  const other = await trained({ ...context, probe, arm, environment: inverted(environment) });
  if (ORACLES.test(id)) expect(other.rewards).not.toEqual(seen.rewards);
  else expect(other).toEqual(seen);
});

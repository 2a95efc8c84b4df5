/** @file No arm but the oracles can see the ground truth: training is the same whatever the truth is. */

import { expect, it } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import { tinySettings } from "../../test/tiny-study.ts";
import type { Environment, Outcome } from "../environment/types.ts";
import { randomFor } from "../random.ts";
import { type RunContext, textMonitor, train } from "../training/index.ts";
import { armIds, arms } from "./arms.ts";

/** The arms that are made of the ground truth, on purpose. */
const ORACLES = /^(noisy-)?oracle-|^sft-labels$|^no-loophole$/;

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
  const rewards: number[] = [];
  let policy: unknown;
  for await (const { metrics, rollouts, state } of train(context)) {
    rewards.push(metrics.reward!, ...rollouts.map(({ reward }) => reward));
    policy = structuredClone(state.policy);
  }
  return { rewards, policy };
}

it.each(armIds)("%s: whether its training depends on the ground truth", async (id) => {
  const tiny = tinyContext();
  // The tiny model has one layer: what the probe reads in the middle of it leaves something to train.
  const tap = { ...tiny.probe.tap, hook: "blocks.0.hook_resid_mid" };
  const context = { ...tiny, probe: { ...tiny.probe, tap } };
  const labelled = { sequences: context.tracer.sequences, labels: context.tracer.misbehaving };
  const arm = arms[id].make({
    ...tinySettings(),
    probe: context.probe,
    text: textMonitor((text) => text.length - 2, 0),
    sets: { fit: labelled, calibration: labelled, falsePositiveRate: 0.1 },
    random: randomFor("ground truth"),
  });
  const seen = await trained({ ...context, arm });
  const other = await trained({ ...context, arm, environment: inverted(context.environment) });
  if (ORACLES.test(id)) expect(other.policy).not.toEqual(seen.policy);
  else expect(other).toEqual(seen);
});

/** @file No arm but the oracles can see the ground truth: training is the same whatever the truth is. */

import { expect, it } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import type { Environment, Outcome } from "../environment/types.ts";
import { type RunContext, train } from "../training/index.ts";
import { armIds, arms } from "./arms.ts";

/** The arms whose reward is made of the ground truth, on purpose. */
const ORACLES = /^(noisy-)?oracle-/;

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

it.each(armIds)("%s: whether its reward can depend on the ground truth", async (id) => {
  const context = tinyContext();
  const arm = arms[id]({ probe: context.probe, penalty: 2, lossStrength: 1 });
  const seen = await trained({ ...context, arm });
  const other = await trained({ ...context, arm, environment: inverted(context.environment) });
  if (ORACLES.test(id)) expect(other.rewards).not.toEqual(seen.rewards);
  else expect(other).toEqual(seen);
});

/** @file Training that goes wrong: what stops a run, what marks it, and that healthy training does neither. */

import { describe, expect, it } from "vitest";
import { tinyContext, tinyModel } from "../../test/tiny.ts";
import { createEngine } from "../engine/index.ts";
import type { StepMetrics } from "../store/index.ts";
import { createWatch, LIMITS, requireFinite, WINDOW } from "./guard.ts";
import { startPolicy, train } from "./loop.ts";

import { proxyReward } from "./rewards.ts";
import type { RunContext } from "./types.ts";

describe("requireFinite", () => {
  it.each([Number.NaN, Infinity, -Infinity])("refuses %s by its name", (value) => {
    expect(() => requireFinite(12, { kl: 0, loss: value })).toThrow(
      new RegExp(`step 12: loss is ${value}.*learningRate`),
    );
  });

  it("lets numbers pass, and what is not defined", () => {
    requireFinite(0, { loss: -3.5, "probe/policy/auroc": null, kl: 0 });
  });
});

/** A healthy line with some values replaced. */
function line(step: number, values: Partial<StepMetrics> = {}): StepMetrics {
  return {
    step,
    entropy: 0.2,
    frac_reward_zero_std: 0.5,
    frac_without_reward: 0.1,
    "completions/clipped_ratio": 0.05,
    "completions/identical_ratio": 0.2,
    kl: 0.1,
    ...values,
  };
}

/** All warnings of a run that is healthy for `before` steps, and then has the values for `after` steps. */
function watched(values: Partial<StepMetrics>, after: number, before = WINDOW): string[] {
  const watch = createWatch();
  return Array.from({ length: before + after }, (_, i) => line(i, i < before ? {} : values)).flatMap(watch);
}

describe("createWatch", () => {
  it.each([
    ["entropy", LIMITS.entropy / 2, /entropy has collapsed/],
    ["frac_reward_zero_std", 1, /rewards that differ/],
    ["frac_without_reward", 0.6, /no reward term scores most completions/],
    ["completions/clipped_ratio", 0.9, /do not end/],
    ["completions/identical_ratio", 1, /the same, whatever was asked/],
    ["kl", 3 * LIMITS.kl, /far from the reference/],
  ])("marks a run by its %s, once", (metric, value, message) => {
    const warnings = watched({ [metric]: value }, 3 * WINDOW);
    expect(warnings).toEqual([expect.stringMatching(message)]);
    expect(warnings[0]).toContain(`mean ${metric} over ${WINDOW} steps`);
    expect(watched({}, 3 * WINDOW)).toEqual([]);
  });

  it("is not alarmed by a single step, nor by few", () => {
    expect(watched({ kl: 5 * LIMITS.kl }, 1)).toEqual([]);
    expect(watched({ entropy: 0, "completions/identical_ratio": 1 }, WINDOW - 1, 0)).toEqual([]);
  });

  it("takes one step for a sampler that disagrees with the trainer", () => {
    const difference = (value: number) => watched({ "sampling/logp_difference/max": value }, 1, 0);
    expect(difference(LIMITS.samplingDifference * 1.1)).toEqual([
      expect.stringMatching(
        /step 0: sampling and training disagree.*\(sampling\/logp_difference\/max: 0\.0011/,
      ),
    ]);
    expect(difference(LIMITS.samplingDifference / 2)).toEqual([]);
  });

  it("is not alarmed by a mean that is at its limit but for rounding", () => {
    expect(watched({ frac_reward_zero_std: LIMITS.zeroVariance }, 3 * WINDOW)).toEqual([]);
  });

  it("takes nothing from values that are not defined", () => {
    expect(watched({ entropy: null, kl: null }, 3 * WINDOW)).toEqual([]);
  });
});

describe("train", () => {
  /** The error that ends training, and the steps that were recorded before. */
  async function outcome(context: RunContext) {
    const steps: number[] = [];
    try {
      for await (const { metrics } of train(context, await startPolicy(context))) steps.push(metrics.step);
    } catch (error) {
      return { steps, message: (error as Error).message };
    }
    return { steps, message: null };
  }

  it("stops at a reward that is not a number, before the policy changes", async () => {
    let batches = 0;
    const score = (rollouts: readonly unknown[]) => {
      batches++;
      return rollouts.map((_, i) => (batches === 3 && i === 5 ? Number.NaN : 0));
    };
    const term = { name: "broken", weight: 1, sees: "rollouts", taps: [], score } as const;
    expect(await outcome(tinyContext({ arm: { terms: [proxyReward(), term] } }))).toEqual({
      steps: [0, 1],
      message: expect.stringMatching(/^step 2: the reward term broken gave NaN for "/),
    });
  });

  it("stops at a task that cannot be graded, by an error that nobody else has to hear of", async () => {
    const unheard: unknown[] = [];
    const onUnheard = (reason: unknown) => unheard.push(reason);
    process.on("unhandledRejection", onUnheard);
    const { environment } = tinyContext();
    const grade = async () => {
      throw new Error("no grader");
    };
    const arm = { terms: [proxyReward()] };
    expect(await outcome(tinyContext({ arm, environment: { ...environment, grade } }))).toEqual({
      steps: [],
      message: "no grader",
    });
    process.off("unhandledRejection", onUnheard);
    expect(unheard).toEqual([]);
  });

  it.each([Number.NaN, 1e30])("stops at numbers that a policy with weights of %s gives", async (value) => {
    const weights = structuredClone(tinyModel.weights);
    weights["blocks.0.mlp.W_in"]!.data.fill(value);
    const engine = createEngine({ ...tinyModel, weights });
    expect(await outcome(tinyContext({ engine, arm: { terms: [proxyReward()] } }))).toEqual({
      steps: [],
      message: expect.stringMatching(/is (NaN|-?Infinity)|is not finite/),
    });
  });

  it("lets healthy training pass", async () => {
    expect(await outcome(tinyContext({ arm: { terms: [proxyReward()] } }))).toEqual({
      steps: [0, 1, 2, 3],
      message: null,
    });
  });
});

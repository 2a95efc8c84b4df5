/** @file Training adapters: their gradients, and a run in which policy and reference share what is frozen. */

import { describe, expect, it } from "vitest";
import { tinyContext, tinyLlama, tinyLlamaWeights } from "../../test/tiny.ts";
import { batchesOf, initialAdapter, ProgramStore, withAdapter } from "../model/index.ts";
import { normal, randomFor } from "../random.ts";
import { floats } from "../tensor/index.ts";
import { createLikelihoodGradient, createPolicyGradient } from "./gradients.ts";
import { type StepResult, train } from "./loop.ts";
import { proxyReward } from "./rewards.ts";
import type { RunContext } from "./types.ts";

const adapter = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"] };

describe("adapters", () => {
  it("get the gradient of finite differences, and they alone", async () => {
    const adapted = withAdapter(tinyLlama, adapter);
    const random = randomFor("direction");
    const trained = initialAdapter(adapted, random);
    for (const { data } of Object.values(trained)) data.set(data.map((x) => x + 0.1 * normal(random)));
    const weights = { ...tinyLlamaWeights(), ...trained };
    const sequences = [
      { tokens: [1, 2, 3, 4, 5, 0], promptLength: 2 },
      { tokens: [5, 4, 3, 1], promptLength: 1 },
    ];
    const likelihood = createLikelihoodGradient(adapted);
    const { gradient } = await likelihood.gradient(weights, sequences);
    expect(Object.keys(gradient).sort()).toEqual(Object.keys(trained).sort());
    for (const name of Object.keys(trained)) {
      const direction = trained[name]!.data.map(() => normal(random));
      const at = async (distance: number) => {
        const data = trained[name]!.data.map((x, i) => x + distance * direction[i]!);
        const moved = { ...weights, [name]: floats(trained[name]!.shape, data) };
        return (await likelihood.gradient(moved, sequences)).loss;
      };
      const slope = ((await at(0.01)) - (await at(-0.01))) / 0.02;
      const expected = gradient[name]!.data.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      expect(Math.abs(slope - expected), name).toBeLessThan(0.01 + 0.02 * Math.abs(expected));
      expect(Math.hypot(...gradient[name]!.data), name).toBeGreaterThan(1e-3);
    }
    await likelihood.close();
  });

  it("have the same gradient in micro-batches of one rollout as in one batch", async () => {
    const adapted = withAdapter(tinyLlama, adapter);
    const random = randomFor("micro-batches");
    const weights = { ...tinyLlamaWeights(), ...initialAdapter(adapted, random) };
    const rollouts = Array.from({ length: 6 }, (_, i) => ({
      tokens: [1, 2, ...Array.from({ length: 1 + i }, () => 1 + Math.floor(5 * random())), 0],
      promptLength: 2,
      advantage: normal(random),
      shares: new Float32Array(2 + i).fill(1 / 27),
      oldLogProbs: new Float32Array(2 + i).fill(-1.7),
      referenceLogProbs: new Float32Array(2 + i).fill(-1.7),
    }));
    const gradientWithin = async (memoryMB: number) => {
      const programs = new ProgramStore();
      const options = { temperature: 1, clipRange: 10, kl: 0.1, entropy: 0.01, memoryMB, programs };
      const result = await createPolicyGradient(adapted, options).gradient(weights, rollouts);
      await programs.close();
      return structuredClone(result);
    };
    const whole = await gradientWithin(100);
    const pieces = await gradientWithin(1e-6);
    expect(batchesOf(tinyLlama, rollouts, { memoryMB: 100 })).toHaveLength(1);
    expect(batchesOf(tinyLlama, rollouts, { memoryMB: 1e-6 })).toHaveLength(6);
    expect(pieces.statistics.loss).toBeCloseTo(whole.statistics.loss, 5);
    for (const [name, { data }] of Object.entries(whole.gradient)) {
      const size = Math.hypot(...data);
      const difference = Math.hypot(...data.map((x, i) => x - pieces.gradient[name]!.data[i]!));
      expect(difference, name).toBeLessThan(1e-5 * (size + 1e-3));
    }
  });

  it("learn what is paid, with the reference's weights held once and untouched", async () => {
    const reference = tinyLlamaWeights();
    const before = structuredClone(reference);
    const settings = {
      ...tinyContext().settings,
      steps: 40,
      prompts: 8,
      rollouts: 8,
      evaluateEvery: 40,
      kl: 0,
    };
    const context: RunContext = tinyContext({
      ...{ config: tinyLlama, reference, adapter, arm: { terms: [proxyReward()] } },
      settings: { ...settings, learningRate: 0.03 },
    });
    const metrics: StepResult["metrics"][] = [];
    let state: StepResult["state"] | undefined;
    for await (const result of train(context)) {
      metrics.push(result.metrics);
      state = result.state;
    }
    expect(metrics[0]!.kl).toBeLessThan(1e-6);
    expect(metrics.at(-1)!.kl).toBeGreaterThan(0.1);
    expect(metrics.at(-1)!.proxy).toBeGreaterThan(metrics[0]!.proxy! + 0.3);
    for (const line of metrics) expect(line["sampling/logp_difference/max"]).toBeLessThan(1e-3);
    expect(Object.keys(state!.policy).every((name) => name.includes(".lora_"))).toBe(true);
    expect(reference).toEqual(before);
  });

  it("can be stopped and gone on with", async () => {
    const context = () =>
      tinyContext({
        config: tinyLlama,
        reference: tinyLlamaWeights(),
        adapter,
        arm: { terms: [proxyReward()] },
      });
    const whole: StepResult[] = [];
    for await (const result of train(context())) whole.push(structuredClone(result));
    const rest: StepResult[] = [];
    for await (const result of train(context(), structuredClone(whole[1]!.state)))
      rest.push(structuredClone(result));
    expect(rest.at(-1)!.state).toEqual(whole.at(-1)!.state);
  });
});

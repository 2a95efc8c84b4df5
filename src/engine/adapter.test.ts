/** @file Gradients of adapters: those of finite differences, for them alone, however data is batched. */

import { afterAll, describe, expect, it } from "vitest";
import { tinyLlama, tinyLlamaWeights } from "../../test/tiny.ts";
import { initialAdapter, type Weights, withAdapter } from "../model/index.ts";
import { normal, randomFor } from "../random.ts";
import { floats } from "../tensor/index.ts";
import { batchesOf } from "./batches.ts";
import { addGradient, type GradientOptions } from "./gradient.ts";
import { ProgramStore } from "./programs.ts";
import type { Datum, Loss } from "./types.ts";
import { fetchWeights } from "./weights.ts";

const adapter = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"] };

const programs = new ProgramStore();
afterAll(() => programs.close());

async function gradientOf(options: GradientOptions, at: Weights, data: readonly Datum[], loss: Loss) {
  const { gradient, metrics } = await addGradient(options, at, data, loss, undefined);
  return { gradient: await fetchWeights(programs.runtime, gradient!), metrics };
}

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
    const data = sequences.map((sequence) => ({
      ...sequence,
      weights: new Float32Array(sequence.tokens.length - sequence.promptLength).fill(1 / 7),
    }));
    const gradientAt = (at: Weights) =>
      gradientOf({ config: adapted, programs }, at, data, { kind: "cross_entropy" });
    const { gradient } = await gradientAt(weights);
    expect(Object.keys(gradient).sort()).toEqual(Object.keys(trained).sort());
    for (const name of Object.keys(trained)) {
      const direction = trained[name]!.data.map(() => normal(random));
      const at = async (distance: number) => {
        const data = trained[name]!.data.map((x, i) => x + distance * direction[i]!);
        const moved = { ...weights, [name]: floats(trained[name]!.shape, data) };
        return (await gradientAt(moved)).metrics.loss;
      };
      const slope = ((await at(0.01)) - (await at(-0.01))) / 0.02;
      const expected = gradient[name]!.data.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      expect(Math.abs(slope - expected), name).toBeLessThan(0.01 + 0.02 * Math.abs(expected));
      expect(Math.hypot(...gradient[name]!.data), name).toBeGreaterThan(1e-3);
    }
  });

  it("have the same gradient in micro-batches of one rollout as in one batch", async () => {
    const adapted = withAdapter(tinyLlama, adapter);
    const random = randomFor("micro-batches");
    const weights = { ...tinyLlamaWeights(), ...initialAdapter(adapted, random) };
    const rollouts = Array.from({ length: 6 }, (_, i) => ({
      tokens: [1, 2, ...Array.from({ length: 1 + i }, () => 1 + Math.floor(5 * random())), 0],
      promptLength: 2,
      advantages: new Float32Array(2 + i).fill(normal(random)),
      weights: new Float32Array(2 + i).fill(1 / 27),
      logprobs: new Float32Array(2 + i).fill(-1.7),
      refLogprobs: new Float32Array(2 + i).fill(-1.7),
    }));
    const gradientWithin = (memoryMB: number) => {
      const loss = {
        kind: "policy_gradient",
        temperature: 1,
        clipRange: 10,
        kl: 0.1,
        entropy: 0.01,
      } as const;
      return gradientOf({ config: adapted, programs, memoryMB }, weights, rollouts, loss);
    };
    const whole = await gradientWithin(100);
    const pieces = await gradientWithin(1e-6);
    expect(batchesOf(tinyLlama, rollouts, { memoryMB: 100 })).toHaveLength(1);
    expect(batchesOf(tinyLlama, rollouts, { memoryMB: 1e-6 }).length).toBeGreaterThan(1);
    expect(pieces.metrics.loss).toBeCloseTo(whole.metrics.loss, 5);
    for (const [name, { data }] of Object.entries(whole.gradient)) {
      const size = Math.hypot(...data);
      const difference = Math.hypot(...data.map((x, i) => x - pieces.gradient[name]!.data[i]!));
      expect(difference, name).toBeLessThan(1e-5 * (size + 1e-3));
    }
  });
});

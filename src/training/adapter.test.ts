/** @file Training adapters: their gradients, and a run in which policy and reference share what is frozen. */

import { describe, expect, it } from "vitest";
import { tinyContext, tinyLlama, tinyLlamaEngine, tinyLlamaWeights, tinyModel } from "../../test/tiny.ts";
import { trainAll } from "../../test/training.ts";
import { createEngine } from "../engine/index.ts";
import { proxyReward } from "./rewards.ts";

const adapter = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"] };

describe("adapters", () => {
  it("learn what is paid, with the reference's weights held once and untouched", async () => {
    const weights = tinyLlamaWeights();
    const before = structuredClone(weights);
    const settings = {
      ...tinyContext().settings,
      steps: 40,
      prompts: 8,
      rollouts: 8,
      evaluateEvery: 40,
      kl: 0,
    };
    const { tokenizer } = tinyModel;
    const context = tinyContext({
      engine: createEngine({ config: tinyLlama, weights, tokenizer }, { adapter }),
      arm: { terms: [proxyReward()] },
      settings: { ...settings, learningRate: 0.03 },
    });
    const results = await trainAll(context);
    const metrics = results.map((result) => result.metrics);
    expect(metrics[0]!.kl).toBeLessThan(1e-6);
    expect(metrics.at(-1)!.kl).toBeGreaterThan(0.1);
    expect(metrics.at(-1)!.proxy).toBeGreaterThan(metrics[0]!.proxy! + 0.3);
    for (const line of metrics) expect(line["sampling/logp_difference/max"]).toBeLessThan(1e-3);
    expect(Object.keys(results.at(-1)!.state.policy.weights).every((name) => name.includes(".lora_"))).toBe(
      true,
    );
    expect(weights).toEqual(before);
  });

  it("can be stopped and gone on with", async () => {
    const context = () =>
      tinyContext({ engine: tinyLlamaEngine({ adapter }), arm: { terms: [proxyReward()] } });
    const whole = await trainAll(context());
    const rest = await trainAll(context(), whole[1]);
    expect(rest.at(-1)!.state).toEqual(whole.at(-1)!.state);
  });
});

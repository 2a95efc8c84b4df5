/** @file The embedded model as a decoder: the same numbers, and adapters. */

import { expect, it } from "vitest";
import { tinyModel } from "../../test/tiny.ts";
import { createEngine } from "../engine/index.ts";
import { takingAdapters } from "./as-decoder.ts";

const sequences = ["?abc", "xxab?c", "a"].map((text) => ({
  tokens: tinyModel.tokenizer.encode(text),
  promptLength: 1,
}));
const hook = "blocks.0.hook_resid_post";
const reads = [{ as: "mean" as const, hook, positions: "completion" as const }];

it("computes what the embedded model computes, and trains adapters", async () => {
  const embedded = createEngine(tinyModel);
  const decoder = createEngine(takingAdapters(tinyModel), {
    adapter: { rank: 1, alpha: 1, targets: ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"] },
  });
  const asked = sequences.slice(0, 2);
  const [was, is] = [
    await embedded.reference.forward(asked, { reads }),
    await decoder.reference.forward(asked, { reads }),
  ];
  for (const [i, one] of was.entries()) {
    expect(is[i]!.logprobs.length).toBe(one.logprobs.length);
    for (const [t, logprob] of one.logprobs.entries())
      expect(Math.abs(is[i]!.logprobs[t]! - logprob)).toBeLessThan(1e-4);
    for (const [d, x] of one.reads[0]!.entries())
      expect(Math.abs(is[i]!.reads[0]![d]! - x)).toBeLessThan(1e-4);
  }
  expect(decoder.trains).toBe("adapter");
  const policy = await decoder.createPolicy({ seed: 1 });
  const data = asked.map((sequence) => {
    const ones = new Float32Array(sequence.tokens.length - 1).fill(1);
    return { ...sequence, weights: ones, advantages: ones, logprobs: ones, refLogprobs: ones };
  });
  await policy.forwardBackward(data, {
    ...{ kind: "policy_gradient" as const, temperature: 1, clipRange: 0.2, kl: 1, entropy: 0 },
  });
  await policy.optimStep({ kind: "adamw", learningRate: 0.1 });
  const after = await policy.forward(asked);
  expect(after[0]!.logprobs).not.toEqual(is[0]!.logprobs);
  await policy.close();
  await decoder.close();
  await embedded.close();
});

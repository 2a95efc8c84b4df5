/** @file Tokens are made once: what is trained on is what was sampled, whatever a tokenizer would make of its text. */

import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { tinyContext, tinyModel } from "../../test/tiny.ts";
import { createEngine } from "../engine/index.ts";
import { loadModel } from "../model/index.ts";
import { startPolicy, train } from "./loop.ts";
import { proxyReward } from "./rewards.ts";
import type { RewardTerm, Rollout } from "./types.ts";

const checkpoint = fileURLToPath(new URL("../../test/fixtures/checkpoints/qwen2", import.meta.url));

it.each([
  // A character has one token: its text would have given the same ones.
  { name: "the embedded model's", load: async () => tinyModel, changedAtLeast: 0, changedAtMost: 0 },
  // The text of most of what a model samples freely has other tokens: it would have mattered.
  { name: "a checkpoint's", load: () => loadModel(checkpoint), changedAtLeast: 32, changedAtMost: 64 },
])("with $name tokenizer", async ({ load, changedAtLeast, changedAtMost }) => {
  const { config, tokenizer, weights } = await load();
  const encoded: string[] = [];
  const rollouts: Rollout[] = [];
  const keep: RewardTerm = {
    name: "keep",
    weight: 0,
    sees: "rollouts",
    taps: [],
    score: (seen) => {
      rollouts.push(...seen);
      return seen.map(() => null);
    },
  };
  const tiny = tinyContext();
  const engine = createEngine({
    ...{ config, weights },
    tokenizer: {
      endOfText: tokenizer.endOfText,
      encode: (text) => {
        encoded.push(text);
        return tokenizer.encode(text);
      },
      encodePrompt: (text) => {
        encoded.push(text);
        return tokenizer.encodePrompt(text);
      },
      decode: (tokens) => tokenizer.decode(tokens),
    },
  });
  const context = tinyContext({
    engine,
    probe: { ...tiny.probe, weight_D: Float32Array.from({ length: config.width }, (_, d) => Math.cos(d)) },
    arm: { terms: [proxyReward(), keep] },
  });
  for await (const { metrics } of train(context, await startPolicy(context))) {
    // The trainer gives what was sampled the probability with which it was sampled: it has the same tokens.
    expect(metrics["sampling/logp_difference/max"]).toBeLessThan(1e-3);
    expect(metrics["sampling/logp_difference/mean"]).toBeLessThanOrEqual(
      metrics["sampling/logp_difference/max"]!,
    );
    expect(metrics["sampling/logp_difference/mean"]).toBeGreaterThan(0);
  }
  // No text but prompts (and the follow-up that no tap has) was ever made into tokens.
  expect([...new Set(encoded)].sort()).toEqual(["", "?a", "?b", "?c"]);
  const sampled = ({ tokens, promptLength }: Rollout) => tokens.slice(promptLength);
  expect(rollouts).toHaveLength(64);
  for (const rollout of rollouts) expect(rollout.completion).toBe(tokenizer.decode(sampled(rollout)));
  const changed = rollouts.filter((rollout) => {
    const written = sampled(rollout).slice(0, rollout.finished ? -1 : undefined);
    return tokenizer.encode(rollout.completion).join() !== written.join();
  });
  expect(changed.length).toBeGreaterThanOrEqual(changedAtLeast);
  expect(changed.length).toBeLessThanOrEqual(changedAtMost);
});

/** @file Reading a follow-up: what it adds, and what it must not change. */

import { afterAll, expect, test } from "vitest";
import { type CharacterConfig, initialWeights } from "../model/index.ts";
import type { Positions } from "../probe/types.ts";
import { randomFor, randomInt } from "../random.ts";
import { forward, type PassOptions } from "./forward.ts";
import { ProgramStore } from "./programs.ts";
import { sample } from "./sample.ts";
import type { Sequence } from "./types.ts";

const config: CharacterConfig = {
  architecture: "probeward-character",
  alphabet: "abcdefg",
  context: 48,
  layers: 2,
  heads: 2,
  width: 16,
  hidden: 24,
};
const hooks = ["blocks.0.hook_mlp_out", "blocks.1.hook_resid_post"];
const weights = initialWeights(config, randomFor("weights"));
const random = randomFor("sequences");
/** Of several padded lengths; one is padded further because of the follow-up. */
const sequences = [...Array.from({ length: 20 }, () => 3 + randomInt(random, 38)), 15].map((length) => ({
  promptLength: 1 + randomInt(random, 2),
  tokens: Array.from({ length }, () => randomInt(random, 8)),
}));
const followUp = [7, 6, 7];

const programs = new ProgramStore();
afterAll(() => programs.close());

/** A pass that reads every hook at some positions. */
const pass = (list: readonly Sequence[], positions: Positions, options: PassOptions = {}) => {
  const reads = hooks.map((hook) => ({ as: "rows", hook, positions }) as const);
  return forward(config, programs, weights, list, { reads, ...options });
};

function expectClose(actual: Float32Array, expected: Float32Array) {
  expect(actual.length).toBe(expected.length);
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5);
  });
}

test("a follow-up changes nothing before it, and is in no log-probability", async () => {
  const without = await pass(sequences, "completion");
  const read = await pass(sequences, "completion", { followUp });
  read.forEach(({ logprobs, entropies, reads }, i) => {
    expectClose(logprobs, without[i]!.logprobs);
    expectClose(entropies, without[i]!.entropies);
    for (const h of hooks.keys()) expectClose(reads[h]!, without[i]!.reads[h]!);
  });
});

test("activations at a follow-up are those of the text with it written out", async () => {
  const written = sequences.map(({ tokens, promptLength }) => ({
    promptLength,
    tokens: [...tokens, ...followUp],
  }));
  const expected = await pass(written, "completion-last");
  const read = await pass(sequences, "follow-up", { followUp });
  read.forEach(({ reads }, i) => {
    for (const h of hooks.keys()) {
      expect(reads[h]).toHaveLength(config.width);
      expectClose(reads[h]!, expected[i]!.reads[h]!);
    }
  });
});

test.each([-1, 1.5, 8, Number.NaN, undefined as unknown as number])(
  "no model is given the token %s",
  async (token) => {
    const message = /token 1 of a sequence is .*whole numbers from 0 to 7/;
    await expect(pass([{ promptLength: 1, tokens: [1, token, 2] }], "completion")).rejects.toThrow(message);
    await expect(pass(sequences, "follow-up", { followUp: [1, token] })).rejects.toThrow(message);
    const params = { maxTokens: 2, seed: ["none"] };
    await expect(sample(config, programs, weights, [[1, token]], params)).rejects.toThrow(message);
  },
);

/** @file Generation agrees with teacher forcing, and its samples do not depend on how they are batched. */

import { afterAll, describe, expect, it } from "vitest";
import { type CharacterConfig, CharacterTokenizer, END_OF_TEXT, initialWeights } from "../model/index.ts";
import { randomFor } from "../random.ts";
import { createEngine } from "./engine.ts";

const config: CharacterConfig = {
  architecture: "probeward-character",
  alphabet: "abcdefghijk",
  context: 80,
  layers: 2,
  heads: 2,
  width: 16,
  hidden: 32,
};
const weights = initialWeights(config, randomFor("weights"));
// Large enough that the model is sure of some tokens and not of others.
for (const { data } of Object.values(weights)) data.set(data.map((value) => 3 * value));

const engine = createEngine({ config, weights, tokenizer: new CharacterTokenizer(config.alphabet) });
const { reference } = engine;
afterAll(() => engine.close());

const prompts = [[1, 2, 3], [4], Array.from({ length: 19 }, (_, i) => (i % 11) + 1)];
const options = { maxTokens: 50, samples: 9, seed: ["sample"] };

describe("sample", () => {
  it.each([1, 0.7])(
    "gives the log-probabilities of teacher forcing at temperature %d",
    async (temperature) => {
      const completions = await reference.sample(prompts, { ...options, temperature });
      expect(completions).toHaveLength(27);
      expect(new Set(completions.map((completion) => completion.tokens.length)).size).toBeGreaterThan(5);
      const sequences = completions.map(({ tokens }, i) => {
        const prompt = prompts[Math.floor(i / 9)]!;
        return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
      });
      const outputs = await reference.forward(sequences, { temperature });
      completions.forEach(({ logprobs }, i) => {
        const forced = outputs[i]!.logprobs;
        expect(forced).toHaveLength(logprobs.length);
        logprobs.forEach((value, t) => {
          expect(Math.abs(value - forced[t]!)).toBeLessThan(1e-4);
        });
      });
    },
  );

  it("samples the same completion alone as in a batch", async () => {
    const together = await reference.sample(prompts, options);
    // Each draws from a stream of its own, whoever else is sampled with it.
    const alone = await reference.sample([prompts[0]!], { ...options, samples: 4 });
    expect(alone.map(({ tokens }) => tokens)).toEqual(together.slice(0, 4).map(({ tokens }) => tokens));
  });

  it("ends at the end of text or at the longest length", async () => {
    for (const { tokens, stopReason } of await reference.sample(prompts, options)) {
      expect(tokens.indexOf(END_OF_TEXT)).toBe(stopReason === "stop" ? tokens.length - 1 : -1);
      expect(stopReason === "stop" || tokens.length === options.maxTokens).toBe(true);
    }
  });

  it("refuses prompts that do not fit", async () => {
    await expect(reference.sample([[]], options)).rejects.toThrow(/empty/);
    const long = Array.from({ length: 40 }, () => 1);
    await expect(reference.sample([long], options)).rejects.toThrow(/context of 80/);
  });
});

/** @file Generation agrees with teacher forcing, and its samples do not depend on how they are batched. */

import { afterAll, describe, expect, it } from "vitest";
import { randomFor } from "../random.ts";
import { initialWeights } from "./character.ts";
import type { CharacterConfig } from "./config.ts";
import { createGenerator } from "./generate.ts";
import { createScorer } from "./score.ts";
import { END_OF_TEXT } from "./tokenizer.ts";

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

const generator = createGenerator(config);
afterAll(() => generator.close());

const prompts = [[1, 2, 3], [4], Array.from({ length: 19 }, (_, i) => (i % 11) + 1)];
const options = { maxTokens: 50, samples: 9, random: (i: number) => randomFor("sample", i) };

describe("generate", () => {
  it.each([1, 0.7])(
    "gives the log-probabilities of teacher forcing at temperature %d",
    async (temperature) => {
      const completions = await generator.generate(weights, prompts, { ...options, temperature });
      expect(completions).toHaveLength(27);
      expect(new Set(completions.map((completion) => completion.tokens.length)).size).toBeGreaterThan(5);
      const scorer = createScorer(config, { temperature });
      const sequences = completions.map(({ tokens }, i) => {
        const prompt = prompts[Math.floor(i / 9)]!;
        return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
      });
      const scored = await scorer.score(weights, sequences);
      await scorer.close();
      completions.forEach(({ logProbabilities }, i) => {
        const forced = scored[i]!.logProbabilities;
        expect(forced).toHaveLength(logProbabilities.length);
        logProbabilities.forEach((value, t) => {
          expect(Math.abs(value - forced[t]!)).toBeLessThan(1e-4);
        });
      });
    },
  );

  it("samples the same completion alone as in a batch", async () => {
    const together = await generator.generate(weights, prompts, options);
    const alone = await generator.generate(weights, [prompts[1]!], {
      ...options,
      samples: 1,
      random: () => randomFor("sample", 12),
    });
    expect(alone[0]!.tokens).toEqual(together[12]!.tokens);
  });

  it("ends at the end of text or at the longest length", async () => {
    for (const { tokens, finished } of await generator.generate(weights, prompts, options)) {
      expect(tokens.indexOf(END_OF_TEXT)).toBe(finished ? tokens.length - 1 : -1);
      expect(finished || tokens.length === options.maxTokens).toBe(true);
    }
  });

  it("refuses prompts that do not fit", async () => {
    await expect(generator.generate(weights, [[]], options)).rejects.toThrow(/empty/);
    const long = Array.from({ length: 40 }, () => 1);
    await expect(generator.generate(weights, [long], options)).rejects.toThrow(/context of 80/);
  });
});

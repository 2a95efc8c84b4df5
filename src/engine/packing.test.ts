/** @file Packing: every sequence is whole and alone in its row, shares only its own beginning, and costs no more than apart. */

import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { tinyLlama, tinyLlamaWeights } from "../../test/tiny.ts";
import { batchesOf, type PackedBatch } from "./batches.ts";
import { forward } from "./forward.ts";
import { ProgramStore } from "./programs.ts";
import type { Sequence } from "./types.ts";

const programs = new ProgramStore();
afterAll(() => programs.close());

const token = fc.integer({ min: 0, max: 5 });
const tokens = (max: number) => fc.array(token, { minLength: 1, maxLength: max });
/** Groups of completions, each of one prompt. */
const sequences = fc
  .array(fc.tuple(tokens(12), fc.array(tokens(9), { minLength: 1, maxLength: 6 })), {
    minLength: 1,
    maxLength: 5,
  })
  .map((groups) =>
    groups.flatMap(([prompt, completions]) =>
      completions.map((own): Sequence => ({ tokens: [...prompt, ...own], promptLength: prompt.length })),
    ),
  );

/** The places that a token sees, in their order: the rule of the attention mask. */
function seenFrom({ tokens: { shape }, layout }: PackedBatch, at: number): number[] {
  const start = at - (at % shape[1]!);
  const [parts, trunks] = [layout.parts.data, layout.trunks.data];
  return Array.from({ length: at - start + 1 }, (_, i) => start + i).filter(
    (key) => parts[key] === parts[at] || parts[key] === trunks[at],
  );
}

describe("packing", () => {
  it("lets every token see what is before it in its sequence, and nothing else", () => {
    fc.assert(
      fc.property(sequences, fc.array(token, { maxLength: 3 }), (all, followUp) => {
        const batches = batchesOf(tinyLlama, all, { followUp });
        expect(batches.flatMap(({ indices }) => indices).sort((a, b) => a - b)).toEqual([...all.keys()]);
        for (const batch of batches)
          for (const index of batch.indices) {
            const whole = [...all[index]!.tokens, ...followUp];
            const places = whole.map((_, t) => batch.at(index, t));
            expect(places.map((at) => batch.tokens.data[at])).toEqual(whole);
            expect(places.map((at) => batch.layout.positions.data[at])).toEqual([...whole.keys()]);
            for (const [t, at] of places.entries())
              expect(seenFrom(batch, at)).toEqual(places.slice(0, t + 1));
          }
      }),
      { numRuns: 60 },
    );
  });

  it("gives each token of a completion a place of its own before it, with that token as its target", () => {
    fc.assert(
      fc.property(sequences, (all) => {
        for (const batch of batchesOf(tinyLlama, all)) {
          const before = batch.indices.flatMap((index) => {
            const { promptLength, tokens } = all[index]!;
            return tokens.slice(promptLength).map((target, i) => {
              const at = batch.at(index, promptLength + i - 1);
              expect(batch.tokens.data.length).toBeGreaterThan(at);
              expect(batch.targets.data[at]).toBe(target);
              return at;
            });
          });
          expect(new Set(before).size).toBe(before.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("computes a shared prompt once", () => {
    const prompt = Array.from({ length: 60 }, (_, i) => i % 6);
    const all = Array.from({ length: 8 }, (_, i) => ({ tokens: [...prompt, i % 6, 1], promptLength: 60 }));
    const batches = batchesOf(tinyLlama, all);
    const size = batches.reduce((sum, { tokens }) => sum + tokens.data.length, 0);
    // 59 and eight times 3 tokens are 83; apart they are 496.
    expect(size).toBeLessThanOrEqual(96);
  });

  it("wastes little of sequences that share nothing", () => {
    const all = Array.from({ length: 12 }, (_, i) => ({
      tokens: Array.from({ length: 83 }, (_, t) => (i + t * t) % 6),
      promptLength: 1,
    }));
    const size = batchesOf({ ...tinyLlama, context: 2048, width: 576 }, all).reduce(
      (sum, { tokens }) => sum + tokens.data.length,
      0,
    );
    expect(size).toBeLessThanOrEqual(1.03 * 12 * 83);
  });

  /** Groups of eight completions of 32 tokens, each of a prompt of its own. */
  const groups = (count: number, promptLength: number) =>
    Array.from({ length: 8 * count }, (_, i): Sequence => {
      const of = (n: number, length: number) => Array.from({ length }, (_, t) => (n + t * (n + t)) % 6);
      return { tokens: [...of(Math.floor(i / 8), promptLength), ...of(i, 32)], promptLength };
    });
  const wide = { ...tinyLlama, context: 2048, width: 576 };
  const tokensOf = (batches: PackedBatch[]) =>
    batches.reduce((sum, { tokens }) => sum + tokens.data.length, 0);

  it("has a group in one row, where rows of a batch's length would have its prompt twice", () => {
    // 50 tokens of the prompt and eight times 33 are 314.
    const batches = batchesOf(wide, groups(4, 51));
    expect(batches.map(({ tokens }) => tokens.shape)).toEqual(Array(4).fill([1, 320]));
    // Where the memory holds no such row, rows are shorter.
    for (const { tokens } of batchesOf(wide, groups(4, 51), { memoryMB: 4 }))
      expect(tokens.shape[1]).toBeLessThan(320);
  });

  it("cuts what is left into batches of few empty rows", () => {
    const apart = groups(16, 1).map(({ tokens }, i) => ({
      tokens: [i % 6, ...tokens, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1],
      promptLength: 1,
    }));
    const narrow = { ...tinyLlama, context: 2048, width: 128 };
    // Batches of 1,024 tokens have 21 rows of 48, and seven of those have 147.
    expect(tokensOf(batchesOf(narrow, apart))).toBe(128 * 48);
  });

  it("changes no number beyond rounding", async () => {
    const prompts = [[1, 2, 3, 4], [5], [1, 2, 3, 4, 1]];
    const all = Array.from({ length: 15 }, (_, i): Sequence => {
      const prompt = prompts[i % 3]!;
      const own = Array.from({ length: 1 + (i % 5) }, (_, t) => (i * i + t) % 6);
      return { tokens: [...prompt, ...own], promptLength: prompt.length };
    });
    const options = {
      reads: (["mean", "rows"] as const).map((as) => ({
        ...{ as, hook: "blocks.0.hook_resid_post" },
        positions: "completion" as const,
      })),
      followUp: [3, 1],
    };
    const together = await forward(tinyLlama, programs, tinyLlamaWeights(), all, options);
    for (const [i, sequence] of all.entries()) {
      const [alone] = await forward(tinyLlama, programs, tinyLlamaWeights(), [sequence], options);
      for (const [found, wanted] of [
        [together[i]!.logprobs, alone!.logprobs],
        [together[i]!.entropies, alone!.entropies],
        [together[i]!.reads[0]!, alone!.reads[0]!],
        [together[i]!.reads[1]!, alone!.reads[1]!],
      ] as const) {
        expect(found.length).toBe(wanted.length);
        for (let n = 0; n < found.length; n++) expect(found[n]).toBeCloseTo(wanted[n]!, 5);
      }
    }
  });
});

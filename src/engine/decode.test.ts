/** @file A decoder's program in blocks of layers: which layers are one program, and that it decodes what teacher forcing computes. */

import { describe, expect, it } from "vitest";
import { tinyLlama } from "../../test/tiny.ts";
import { CharacterTokenizer, weightSpecs } from "../model/index.ts";
import { normal, randomFor } from "../random.ts";
import { floats } from "../tensor/index.ts";
import { blocksOf } from "./decoder-step.ts";
import { createEngine } from "./engine.ts";

describe("blocks of layers", () => {
  const lengths = (kinds: string[]) => blocksOf(kinds).map(([from, to]) => to - from);
  const times = (count: number, ...kinds: string[]) => Array.from({ length: count }, () => kinds).flat();

  it("are as long as they can be where the layers in different ones are few", () => {
    expect(lengths(times(3, "a"))).toEqual([3]);
    expect(lengths(times(80, "a"))).toEqual(Array(10).fill(8));
    expect(lengths(times(30, "a"))).toEqual([6, 6, 6, 6, 6]);
    // Blocks of six and one of the last layer are two programs of seven layers.
    expect(lengths(times(61, "a"))).toEqual([...Array(10).fill(6), 1]);
  });

  it("hold whole periods, where kinds of layers alternate", () => {
    expect(lengths(times(13, "near", "far"))).toEqual([6, 6, 6, 6, 2]);
    expect(lengths([...times(4, "n", "n", "n", "n", "n", "f"), "n", "n"])).toEqual([6, 6, 6, 6, 2]);
  });

  it("do without where all differ", () => {
    const kinds = Array.from({ length: 20 }, (_, i) => String(i));
    expect(blocksOf(kinds).flatMap(([from, to]) => kinds.slice(from, to))).toEqual(kinds);
  });
});

it("decodes over several blocks, one with an ablated layer, what teacher forcing computes", async () => {
  const config = { ...tinyLlama, layers: 11 };
  const random = randomFor("blocks");
  const weights = Object.fromEntries(
    Object.entries(weightSpecs(config)).map(([name, { shape }]) => {
      const tensor = floats(shape);
      for (let i = 0; i < tensor.data.length; i++)
        tensor.data[i] = name.includes("norm") ? 1 + 0.1 * normal(random) : 0.3 * normal(random);
      return [name, tensor];
    }),
  );
  const engine = createEngine({ config, weights, tokenizer: new CharacterTokenizer("abcde") });
  const direction_D = Float32Array.from({ length: config.width }, (_, d) => Math.cos(d));
  const ablate = { hook: "blocks.4.hook_resid_mid", direction_D };
  const sampling = { samples: 6, maxTokens: 8, seed: ["blocks"], ablate };
  const completions = await engine.reference.sample([[1, 2, 3]], sampling);
  const sequences = completions.map(({ tokens }) => ({ tokens: [1, 2, 3, ...tokens], promptLength: 3 }));
  const outputs = await engine.reference.forward(sequences, { ablate });
  const unablated = await engine.reference.forward(sequences);
  const distances = (of: typeof outputs) =>
    completions.flatMap(({ logprobs }, i) => [...logprobs].map((x, t) => Math.abs(x - of[i]!.logprobs[t]!)));
  expect(Math.max(...distances(outputs))).toBeLessThan(1e-4);
  expect(Math.max(...distances(unablated))).toBeGreaterThan(1e-2);
  await engine.close();
});

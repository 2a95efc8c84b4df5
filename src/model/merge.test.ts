/** @file Changed models: an adapter that PEFT wrote, merged, is what PEFT computes; casts and random changes are as large as they say. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEngine } from "../engine/index.ts";
import { randomFor } from "../random.ts";
import { readSafetensors } from "../tensor/index.ts";
import { loadAdapter } from "./adapter-file.ts";
import { readDecoderConfig } from "./huggingface/config.ts";
import { loadDecoderWeights } from "./huggingface/weights.ts";
import { merged } from "./merge.ts";
import { changeSizes, precisionOf, randomlyChanged, roundedTo } from "./no-op.ts";
import { CharacterTokenizer } from "./tokenizer.ts";
import type { LoadedModel } from "./types.ts";

const at = (name: string) =>
  fileURLToPath(new URL(`../../test/fixtures/checkpoints/${name}`, import.meta.url));

async function llama(): Promise<LoadedModel> {
  const folder = at("llama");
  const json = JSON.parse(await readFile(`${folder}/config.json`, "utf8"));
  const config = readDecoderConfig(json, { eos_token_id: 2 }, folder);
  return {
    config,
    weights: await loadDecoderWeights(folder, config),
    tokenizer: new CharacterTokenizer("abc"),
  };
}

describe("merged", () => {
  it.each(["adapter", "adapter-narrowed"])("computes with %s what PEFT does", async (name) => {
    const base = await llama();
    const adapter = await loadAdapter(at(name), base.config);
    const engine = createEngine(merged(base, adapter));
    const { tokens } = (await readSafetensors(`${at("llama")}/expected.safetensors`)).tensors;
    const { logits } = (await readSafetensors(`${at(name)}/expected.safetensors`)).tensors;
    const [B, T] = tokens!.shape as [number, number];
    const sequences = Array.from({ length: B }, (_, b) => ({
      tokens: Array.from(tokens!.data.slice(b * T, (b + 1) * T)),
      promptLength: 1,
    }));
    const outputs = await engine.reference.forward(sequences);
    await engine.close();
    const V = logits!.shape[2]!;
    outputs.forEach(({ logprobs }, b) => {
      logprobs.forEach((logprob, t) => {
        const row = logits!.data.slice((b * T + t) * V, (b * T + t + 1) * V) as Float32Array;
        const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
        expect(logprob).toBeCloseTo(row[sequences[b]!.tokens[t + 1]!]! - total, 4);
      });
    });
  });
});

describe("changes that should change nothing", () => {
  it("round as bfloat16 and float16 do, and tell what holds the weights", async () => {
    const model = await llama();
    expect(precisionOf(model.weights)).toBe("float32");
    for (const format of ["bfloat16", "float16"] as const) {
      const rounded = roundedTo(model, format);
      expect(precisionOf(rounded.weights)).toBe(format);
      expect(roundedTo(rounded, format).weights).toEqual(rounded.weights);
    }
  });

  it("keep the relative error of a format, and its known values", () => {
    const one = (x: number, format: "bfloat16" | "float16") => {
      const weights = { w: { shape: [1], dtype: "float32" as const, data: Float32Array.of(x) } };
      return roundedTo({ weights } as unknown as LoadedModel, format).weights.w!.data[0]!;
    };
    expect(one(1 / 3, "float16")).toBe(0.333251953125);
    expect(one(1 / 3, "bfloat16")).toBe(0.333984375);
    expect(one(6e-8, "float16")).toBeCloseTo(2 ** -24, 12);
    fc.assert(
      fc.property(fc.float({ min: 2 ** -13, max: 60000, noNaN: true }), fc.boolean(), (size, negative) => {
        const x = negative ? -size : size;
        expect(Math.abs(one(x, "float16") - x)).toBeLessThanOrEqual(2 ** -11 * size);
        expect(Math.abs(one(x, "bfloat16") - x)).toBeLessThanOrEqual(2 ** -8 * size);
      }),
    );
  });

  it("are as large as asked for", async () => {
    const model = await llama();
    const changed = randomlyChanged(
      model,
      (name) => (name.includes("q_proj") ? 2 : 0),
      2,
      randomFor("change"),
    );
    const sizes = changeSizes(model.weights, changed.weights);
    for (const [name, size] of Object.entries(sizes))
      if (name.includes("q_proj")) expect(Math.abs(Math.log(size / 2))).toBeLessThan(0.5);
      else expect(size).toBe(0);
  });
});

/** @file Adapters of all families against PEFT: probabilities, gradients, and what merging makes of them (test/fixtures/make_adapter.py). */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadAdapter, saveAdapter } from "../model/adapter-file.ts";
import { readDecoderConfig } from "../model/huggingface/config.ts";
import { loadDecoderWeights } from "../model/huggingface/weights.ts";
import { CharacterTokenizer, type DecoderConfig, type Weights } from "../model/index.ts";
import { merged } from "../model/merge.ts";
import { nameInFiles } from "../model/names.ts";
import { readSafetensors, type Tensor } from "../tensor/index.ts";
import { createEngine } from "./engine.ts";
import { forward } from "./forward.ts";
import { addGradient } from "./gradient.ts";
import { ProgramStore } from "./programs.ts";
import { sample } from "./sample.ts";
import { fetchWeights } from "./weights.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/checkpoints", import.meta.url));
/** The loss counts tokens behind so many. */
const PROMPT = 5;

/** Each adapter's folder. */
const adapters =
  "adapter adapter-narrowed adapter-patterns adapter-dora gpt2/adapter gpt2/adapter-dora pythia/adapter phi3/adapter mistral/adapter olmo2/adapter gemma2/adapter gemma3/adapter qwen3/adapter qwen3-moe/adapter qwen2-window/adapter".split(
    " ",
  );

async function load(name: string) {
  const folder = join(fixtures, name);
  const json = async (path: string) => JSON.parse(await readFile(path, "utf8"));
  const base = join(fixtures, (await json(join(folder, "adapter_config.json"))).base_model_name_or_path);
  const config = readDecoderConfig(await json(join(base, "config.json")), null, base);
  const weights = await loadDecoderWeights(base, config);
  const adapter = await loadAdapter(folder, config);
  const { tensors: expected } = await readSafetensors(join(folder, "expected.safetensors"));
  const { tokens } = (await readSafetensors(join(base, "expected.safetensors"))).tensors;
  const [B, T] = tokens!.shape as [number, number];
  const rows = Array.from({ length: B }, (_, row) => Array.from(tokens!.data.slice(row * T, (row + 1) * T)));
  const sequences = rows.map((tokens) => ({ tokens, promptLength: PROMPT }));
  return { base: { config, weights, tokenizer: new CharacterTokenizer("") }, adapter, expected, sequences };
}

/** Log-probabilities of the tokens behind the prompt, by PEFT's logits. */
function wantedLogProbs({ data, shape }: Tensor, sequences: readonly { tokens: number[] }[]): number[][] {
  const [, T, V] = shape as [number, number, number];
  return sequences.map(({ tokens }, row) =>
    tokens.slice(PROMPT).map((token, i) => {
      const from = (row * T + PROMPT - 1 + i) * V;
      const logits = Float64Array.from(data.slice(from, from + V));
      return logits[token]! - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    }),
  );
}

/** The largest difference, as a share of the largest number. */
function worst(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(found.length).toBe(wanted.length);
  const all = Array.from(wanted, (value, i) => [Math.abs(value - found[i]!), Math.abs(value)] as const);
  const size = Math.max(...all.map(([, size]) => size));
  expect(size).toBeGreaterThan(0);
  return Math.max(...all.map(([difference]) => difference)) / size;
}

async function gradientWithin(
  memoryMB: number,
  programs: ProgramStore,
  config: DecoderConfig,
  weights: Weights,
  sequences: readonly { tokens: number[]; promptLength: number }[],
) {
  const count = sequences.reduce((sum, { tokens }) => sum + tokens.length - PROMPT, 0);
  const data = sequences.map((sequence) => ({
    ...sequence,
    weights: new Float32Array(sequence.tokens.length - PROMPT).fill(1 / count),
  }));
  const options = { config, programs, memoryMB };
  const { gradient, metrics } = await addGradient(
    options,
    weights,
    data,
    { kind: "cross_entropy" },
    undefined,
  );
  return { gradient: await fetchWeights(programs.runtime, gradient!), loss: metrics.loss };
}

describe.each(adapters)("%s", (name) => {
  it("has PEFT's probabilities and gradients, merged as well, and samples with them", async () => {
    const { base, adapter, expected, sequences } = await load(name);
    const { config } = adapter;
    const weights = { ...base.weights, ...adapter.weights };
    const programs = new ProgramStore();
    const wanted = wantedLogProbs(expected.logits!, sequences);
    const outputs = await forward(config, programs, weights, sequences);
    const differences: Record<string, number> = { forward: 0, gradient: 0 };
    outputs.forEach(({ logprobs }, row) => {
      differences.forward = Math.max(differences.forward!, worst(logprobs, wanted[row]!));
    });
    const engine = createEngine(merged(base, adapter));
    (await engine.reference.forward(sequences)).forEach(({ logprobs }, row) => {
      expect(worst(logprobs, wanted[row]!)).toBeLessThan(1e-4);
    });
    await engine.close();

    // With what layers computed kept, and computed again.
    for (const memoryMB of [2048, 0.05]) {
      const { gradient, loss } = await gradientWithin(memoryMB, programs, config, weights, sequences);
      expect(loss).toBeCloseTo(expected.loss!.data[0]!, 4);
      expect(Object.keys(gradient).sort()).toEqual(Object.keys(adapter.weights).sort());
      for (const [tensor, { data }] of Object.entries(gradient)) {
        const stored = expected[`gradient base_model.model.${nameInFiles(config.architecture, tensor)}`]!;
        differences.gradient = Math.max(differences.gradient!, worst(data, stored.data));
      }
    }

    const prompts = sequences.map(({ tokens }) => tokens.slice(0, PROMPT));
    const options = { maxTokens: 14, samples: 2, seed: [name] };
    const drawn = await sample(config, programs, weights, prompts, options);
    const read = await forward(
      ...([config, programs, weights] as const),
      drawn.map(({ tokens }, i) => ({
        tokens: [...prompts[Math.floor(i / 2)]!, ...tokens],
        promptLength: PROMPT,
      })),
    );
    await programs.close();
    drawn.forEach(({ logprobs }, i) => {
      expect(worst(logprobs, read[i]!.logprobs)).toBeLessThan(1e-4);
    });
    if (process.env.PROBEWARD_AGREEMENT) console.log(name, JSON.stringify(differences));
    for (const difference of Object.values(differences)) expect(difference).toBeLessThan(1e-4);
  });
});

it.each(["adapter-patterns", "adapter-dora", "gpt2/adapter"])(
  "%s is the same after it is saved and loaded",
  async (name) => {
    const { base, adapter } = await load(name);
    const folder = await mkdtemp(join(tmpdir(), "probeward-peft-"));
    await saveAdapter(folder, adapter.config, adapter.weights, "base");
    expect(await loadAdapter(folder, base.config)).toEqual(adapter);
    await rm(folder, { recursive: true });
  },
);

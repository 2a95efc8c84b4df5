/** @file Checkpoints of every family agree with what `transformers` computes (test/fixtures/make_checkpoints.py). */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { numpy as np } from "@jax-js/jax";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomFor } from "../../random.ts";
import { compile, type JaxArray, readSafetensors, type Tensor } from "../../tensor/index.ts";
import { loadModel } from "../checkpoint.ts";
import { hookNames } from "../config.ts";
import { createGenerator } from "../generate.ts";
import { createScorer, weightSpecs } from "../score.ts";
import { hiddenStates, logitsOf, type TracedWeights } from "../transformer.ts";
import { readDecoderConfig } from "./config.ts";
import { loadTokenizer } from "./load.ts";
import { loadDecoderWeights } from "./weights.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/checkpoints", import.meta.url));
const families = ["llama", "llama-linear", "llama3", "qwen2", "qwen2-yarn", "qwen3", "gpt2"];

/** Configuration and weights; only one of the fixtures has a tokenizer. */
async function load(family: string) {
  const folder = join(fixtures, family);
  const json = async (name: string) => JSON.parse(await readFile(join(folder, name), "utf8")) as unknown;
  const config = readDecoderConfig(await json("config.json"), await json("generation_config.json"), folder);
  return { config, weights: await loadDecoderWeights(folder, config) };
}

function largestDifference(actual: Tensor["data"], expected: Tensor["data"]): number {
  expect(actual.length).toBe(expected.length);
  return Math.max(...Array.from(actual, (value, i) => Math.abs(value - expected[i]!)));
}

describe.each(families)("%s", (family) => {
  let model: Awaited<ReturnType<typeof load>>;
  let expected: Record<string, Tensor>;
  let sequences: { tokens: number[]; promptLength: number }[];
  beforeAll(async () => {
    model = await load(family);
    expected = (await readSafetensors(join(fixtures, family, "expected.safetensors"))).tensors;
    const { data, shape } = expected.tokens!;
    sequences = Array.from({ length: shape[0]! }, (_, row) => ({
      tokens: Array.from(data.slice(row * shape[1]!, (row + 1) * shape[1]!)),
      promptLength: 5,
    }));
  });

  it("computes the logits of transformers to 1e-4", async () => {
    const { config, weights } = model;
    const [, T] = expected.tokens!.shape as [number, number];
    const program = await compile(
      (traced: TracedWeights, tokens: JaxArray) =>
        logitsOf(traced, hiddenStates(traced, tokens, np.arange(T).astype(np.int32), config), config),
      [weightSpecs(config), expected.tokens!] as const,
    );
    const logits = await program.run(weights, expected.tokens!);
    expect(largestDifference(logits.data, expected.logits!.data)).toBeLessThan(1e-4);
    // A test that could pass on zeros would be none.
    expect(Math.max(...expected.logits!.data)).toBeGreaterThan(1);
    await program.close();
  });

  it("reads every activation of transformers to 1e-4, and its log-probabilities", async () => {
    const { config, weights } = model;
    const hooks = hookNames(config);
    const scorer = createScorer(config, { hooks });
    const scored = await scorer.score(weights, sequences);
    await scorer.close();
    for (const hook of hooks) {
      const actual = scored.flatMap(({ activations }) => [...activations[hook]!]);
      expect(largestDifference(Float32Array.from(actual), expected[hook]!.data), hook).toBeLessThan(1e-4);
    }
    const V = config.vocabulary;
    scored.forEach(({ logProbabilities, entropies }, row) => {
      logProbabilities.forEach((value, i) => {
        const T = sequences[row]!.tokens.length;
        const at = row * T + 4 + i;
        const logits = Float64Array.from(expected.logits!.data.slice(at * V, (at + 1) * V));
        const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
        expect(Math.abs(value - (logits[sequences[row]!.tokens[5 + i]!]! - total))).toBeLessThan(1e-4);
        const entropy = logits.reduce((sum, logit) => sum - Math.exp(logit - total) * (logit - total), 0);
        expect(Math.abs(entropies[i]! - entropy)).toBeLessThan(1e-3);
      });
    });
  });

  it("samples with the log-probabilities of teacher forcing", async () => {
    const { config, weights } = model;
    const generator = createGenerator(config);
    const prompts = [[3, 4, 5], [7]];
    const options = { maxTokens: 12, samples: 3, random: (i: number) => randomFor("sample", i) };
    const completions = await generator.generate(weights, prompts, options);
    await generator.close();
    const scorer = createScorer(config);
    const scored = await scorer.score(
      weights,
      completions.map(({ tokens }, i) => {
        const prompt = prompts[Math.floor(i / 3)]!;
        return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
      }),
    );
    await scorer.close();
    completions.forEach(({ logProbabilities, tokens, finished }, i) => {
      expect(largestDifference(logProbabilities, scored[i]!.logProbabilities)).toBeLessThan(1e-4);
      expect(finished).toBe(config.endTokens.includes(tokens.at(-1)!));
    });
  });
});

describe("a checkpoint's folder", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-checkpoint-"));
    await cp(join(fixtures, "qwen2"), folder, { recursive: true });
  });
  afterAll(() => rm(folder, { recursive: true }));
  const edit = async (name: string, change: (json: Record<string, unknown>) => void) => {
    const json = JSON.parse(await readFile(join(fixtures, "qwen2", name), "utf8"));
    change(json);
    await writeFile(join(folder, name), JSON.stringify(json));
  };

  it("is loaded with its tokenizer and chat template, as transformers reads them", async () => {
    const { tokenizer } = await loadModel(folder);
    const wanted = JSON.parse(await readFile(join(folder, "expected.json"), "utf8"));
    expect(tokenizer.encode("")).toEqual([]);
    for (const { text, ids } of wanted.texts) expect(tokenizer.encode(text), text).toEqual(ids);
    expect(tokenizer.chat!(wanted.messages)).toEqual(wanted.chatIds);
    expect(tokenizer.decode(wanted.texts[1].ids)).toBe(wanted.texts[1].text);
    expect(tokenizer.decode([...wanted.texts[0].ids, 2, 5, 6])).toBe("the capital");
    expect(tokenizer.endOfText).toBe(2);
  });

  it("is refused by name where its architecture is not supported", async () => {
    await edit("config.json", (json) => {
      json.model_type = "mamba";
      json.architectures = ["MambaForCausalLM"];
    });
    await expect(loadModel(folder)).rejects.toThrow(
      /MambaForCausalLM .*not supported; llama, qwen2, qwen3, gpt2 are/,
    );
  });

  it.each([
    [
      "an unknown scaling",
      { rope_parameters: { rope_type: "longrope", rope_theta: 1e4 } },
      /"longrope" is not supported/,
    ],
    ["a sliding window", { use_sliding_window: true }, /use_sliding_window/],
    ["another activation", { hidden_act: "gelu" }, /hidden_act/],
    ["another shape", { intermediate_size: 32 }, /gate_proj.weight has shape \[24,16\].*wants \[32,16\]/],
    ["more layers than it has", { num_hidden_layers: 3 }, /lacks the tensor model.layers.2/],
    ["fewer layers than it has", { num_hidden_layers: 1 }, /no place for: model.layers.1/],
  ])("is refused with %s", async (_, change, message) => {
    await edit("config.json", (json) => Object.assign(json, change));
    await expect(loadModel(folder)).rejects.toThrow(message);
  });

  it("is refused without its tokenizer", async () => {
    await edit("config.json", () => {});
    await rm(join(folder, "tokenizer.json"));
    await expect(loadTokenizer(folder, [2])).rejects.toThrow(/tokenizer.json: is missing/);
  });
});

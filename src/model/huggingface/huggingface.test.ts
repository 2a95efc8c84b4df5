/** @file Checkpoints of every family agree with what `transformers` computes (test/fixtures/make_checkpoints.py). */

import { cp, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { numpy as np } from "@jax-js/jax";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { forward } from "../../engine/forward.ts";
import { createEngine } from "../../engine/index.ts";
import { ProgramStore } from "../../engine/programs.ts";
import {
  BrainTensor,
  compile,
  type JaxArray,
  narrowed,
  readSafetensors,
  ScaledTensor,
  type Tensor,
  writeSafetensors,
} from "../../tensor/index.ts";
import { loadModel, weightsSha256 } from "../checkpoint.ts";
import { hookNames } from "../config.ts";
import { rotary } from "../rotary.ts";
import { CharacterTokenizer } from "../tokenizer.ts";
import { hiddenStates, logitsOf, weightSpecs } from "../transformer.ts";
import type { TracedWeights, Weights } from "../types.ts";
import { readDecoderConfig } from "./config.ts";
import { loadTokenizer } from "./load.ts";
import { loadDecoderWeights } from "./weights.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/checkpoints", import.meta.url));
const families =
  "llama llama-linear llama3 mistral qwen2 qwen2-yarn qwen2-window qwen3 qwen3-moe qwen3-moe-plain olmo2 phi3 phi3-longrope gemma2 gemma3 gpt2 pythia neox-in-turn".split(
    " ",
  );

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
    const logits = await program.evaluate(weights, expected.tokens!);
    const difference = largestDifference(logits.data, expected.logits!.data);
    if (process.env.PROBEWARD_AGREEMENT)
      console.log(family, difference / Math.max(...expected.logits!.data.map(Math.abs)));
    expect(difference).toBeLessThan(1e-4);
    // A test that could pass on zeros would be none.
    expect(Math.max(...expected.logits!.data)).toBeGreaterThan(1);
    await program.close();
  });

  it("reads every activation of transformers to 1e-4, and its log-probabilities", async () => {
    const { config, weights } = model;
    const hooks = hookNames(config);
    const programs = new ProgramStore();
    const passed = await forward(config, programs, weights, sequences);
    // The first token's, and those of all behind it.
    const whole = sequences.map(({ tokens }) => ({ tokens, promptLength: 1 }));
    const reads = hooks.flatMap((hook) =>
      (["prompt-last", "completion"] as const).map((positions) => ({ as: "rows", hook, positions }) as const),
    );
    const read = await forward(config, programs, weights, whole, { reads });
    await programs.close();
    for (const [h, hook] of hooks.entries()) {
      const actual = read.flatMap(({ reads }) => [...reads[2 * h]!, ...reads[2 * h + 1]!]);
      expect(largestDifference(Float32Array.from(actual), expected[hook]!.data), hook).toBeLessThan(1e-4);
    }
    const V = config.vocabulary;
    passed.forEach(({ logprobs, entropies }, row) => {
      logprobs.forEach((value, i) => {
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
    const { config } = model;
    const engine = createEngine({ ...model, tokenizer: new CharacterTokenizer("") });
    const prompts = [[3, 4, 5], [7]];
    const completions = await engine.reference.sample(prompts, {
      maxTokens: 12,
      samples: 3,
      seed: ["sample"],
    });
    const outputs = await engine.reference.forward(
      completions.map(({ tokens }, i) => {
        const prompt = prompts[Math.floor(i / 3)]!;
        return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
      }),
    );
    await engine.close();
    completions.forEach(({ logprobs, tokens, stopReason }, i) => {
      expect(largestDifference(logprobs, outputs[i]!.logprobs)).toBeLessThan(1e-4);
      expect(stopReason === "stop").toBe(config.endTokens.includes(tokens.at(-1)!));
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

  it("keeps its matrices as they lie in bfloat16, to the bit, or in 8 bits, where that is asked for", async () => {
    const { weights: wide } = await loadModel(folder);
    const { weights: narrow } = await loadModel(folder, "bfloat16");
    const { weights: small } = await loadModel(folder, "int8");
    expect(Object.keys(narrow)).toEqual(Object.keys(wide));
    for (const [name, { shape, data }] of Object.entries(wide)) {
      const kinds = [wide, narrow, small].map((all) => all[name]!.constructor);
      expect(kinds, name).toEqual(
        shape.length === 2 ? [Object, BrainTensor, ScaledTensor] : Array(3).fill(Object),
      );
      expect(narrow[name]!.data, name).toEqual(data);
      const most = Math.max(...data.map(Math.abs));
      expect(largestDifference(small[name]!.data, data), name).toBeLessThanOrEqual(most / 253);
    }
    expect(weightsSha256(narrow)).toBe(weightsSha256(wide));
    expect(weightsSha256(small)).not.toBe(weightsSha256(wide));
  });

  it("leaves its layers' matrices where they lie, where that is asked for, and says so when they are changed", async () => {
    const { weights: narrow } = await loadModel(folder, "bfloat16");
    const { weights: left } = await loadModel(folder, "disk");
    for (const [name, { data }] of Object.entries(narrow)) {
      expect(left[name]!.data, name).toEqual(data);
      const tensor = left[name];
      const isLeft = tensor instanceof BrainTensor && tensor.isElsewhere;
      expect(isLeft, name).toBe(name.startsWith("model.layers.") && narrow[name] instanceof BrainTensor);
    }
    expect(weightsSha256(left)).toBe(weightsSha256(narrow));
    const name = "model.layers.1.mlp.up_proj.weight";
    const index = JSON.parse(await readFile(join(folder, "model.safetensors.index.json"), "utf8"));
    const shard: string = index.weight_map[name];
    const path = join(folder, shard);
    await rename(path, join(folder, "before"));
    expect(() => left[name]!.data).toThrow(`cannot read ${path}`);
    await cp(join(fixtures, "qwen2", shard), path);
    expect(() => left[name]!.data).toThrow(`${path}: was changed while weights were read from it`);
    await rename(join(folder, "before"), path);
    expect(left[name]!.data).toEqual(narrow[name]!.data);
  });

  it("is rounded to bfloat16 where it has more bits and that is asked for", async () => {
    const llama = join(fixtures, "llama");
    const config = readDecoderConfig(
      JSON.parse(await readFile(join(llama, "config.json"), "utf8")),
      null,
      llama,
    );
    const name = "model.layers.0.mlp.up_proj.weight";
    const [wide, narrow] = [
      await loadDecoderWeights(llama, config),
      await loadDecoderWeights(llama, config, "bfloat16"),
    ];
    expect(narrow[name]!.data).toEqual(narrowed(wide[name]!, "bfloat16").data);
    expect(narrow[name]!.data).not.toEqual(wide[name]!.data);
    await expect(loadDecoderWeights(llama, config, "disk")).rejects.toThrow(
      /safetensors: model\.layers\.0\.\S+ does not lie there in bfloat16 .*engine\.weights: bfloat16/,
    );
  });

  it("is refused by name where its architecture is not supported", async () => {
    await edit("config.json", (json) => {
      json.model_type = "mamba";
      json.architectures = ["MambaForCausalLM"];
    });
    await expect(loadModel(folder)).rejects.toThrow(
      /MambaForCausalLM .*not supported; llama, mistral, qwen2, .*gpt2 are/,
    );
  });

  it.each([
    [
      "an unknown scaling",
      { rope_parameters: { rope_type: "proportional", rope_theta: 1e4 } },
      /"proportional" is not supported/,
    ],
    [
      "windows of an unknown width",
      { layer_types: ["full_attention", "sliding_attention"] },
      /layer_types has layers with windows, and use_sliding_window is not true/,
    ],
    ["a type of layers for others", { layer_types: ["full_attention"] }, /layer_types lists 1 layers/],
    ["another activation", { hidden_act: "gelu" }, /hidden_act/],
    ["another shape", { intermediate_size: 32 }, /gate_proj.weight has shape \[24,16\].*wants \[32,16\]/],
    [
      "more layers than it has",
      { num_hidden_layers: 3, layer_types: null },
      /lacks the tensor model.layers.2/,
    ],
    [
      "far more layers than it has",
      { num_hidden_layers: 6e4, layer_types: null },
      /has 60000 layers, and it has 26 tensors/,
    ],
    ["a thousand million layers", { num_hidden_layers: 1e9, layer_types: null }, /num_hidden_layers/],
    ["the widest heads", { head_dim: 2 ** 31 - 1 }, /2147483647 dimensions; .* up to 65536/],
    ["sizes beyond bounds", { vocab_size: 2 ** 40 }, /vocab_size/],
    ["heads that do not share evenly", { num_key_value_heads: 3 }, /4 cannot be dealt to 3 heads evenly/],
    [
      "layers that attend in a way that is not known",
      { layer_types: ["full_attention", "chunked_attention"] },
      /layer_types/,
    ],
    ["a part of each head that rotates", { partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0\.5/],
    [
      "other settings in some layers",
      { per_layer_config: { 0: {} } },
      /per_layer_config .* is not known here/,
    ],
    ["quantized weights", { quantization_config: { bits: 4 } }, /quantization_config .* is not known here/],
    ["a program of its own", { auto_map: { AutoModel: "x.Y" } }, /auto_map .* is not known here/],
    ["two scalings", { rope_scaling: { type: "linear", factor: 2 } }, /rope_scaling and rope_parameters/],
    [
      "rotary positions that are not known",
      { rope_parameters: { rope_type: "yarn", factor: 2, mrope_section: [1] } },
      /mrope_section .* is not known here.*at rope_parameters\.mrope_section/s,
    ],
    ["fewer layers than it has", { num_hidden_layers: 1, layer_types: null }, /no place for: model.layers.1/],
  ])("is refused with %s", async (_, change, message) => {
    await edit("config.json", (json) => Object.assign(json, change));
    await expect(loadModel(folder)).rejects.toThrow(message);
  });

  it.each([
    [
      "of transformers 4",
      { rope_parameters: undefined, rope_theta: 1e4, rope_scaling: null, torch_dtype: "bfloat16" },
    ],
    [
      "of a sliding window that is off",
      { use_sliding_window: false, sliding_window: 8, max_window_layers: 1 },
    ],
    [
      "of sampling and training",
      {
        temperature: 0.7,
        tf_legacy_loss: false,
        attention_dropout: 0.1,
        initializer_range: 0.1,
        use_cache: true,
      },
    ],
    ["that are not set", { quantization_config: null, per_layer_config: null }],
  ])("is read whatever its settings are %s", async (_, change) => {
    const read = async (json: object) => readDecoderConfig(json, { eos_token_id: 2 }, "config.json");
    const json = JSON.parse(await readFile(join(fixtures, "qwen2", "config.json"), "utf8"));
    expect(await read({ ...json, ...change })).toEqual(await read(json));
  });

  it("is refused without its tokenizer", async () => {
    await edit("config.json", () => {});
    await rm(join(folder, "tokenizer.json"));
    await expect(loadTokenizer(folder, [2], 300)).rejects.toThrow(/tokenizer.json: is missing/);
  });
});

describe("experts", () => {
  const folder = join(fixtures, "qwen3-moe");
  const read = async (change: Record<string, unknown>) => {
    const json = JSON.parse(await readFile(join(folder, "config.json"), "utf8")) as object;
    return readDecoderConfig({ ...json, ...change }, null, "config.json");
  };

  it("are counted by the name before transformers 5, too", async () => {
    const expected = { count: 4, perToken: 2, normalised: true };
    const older = await read({ num_local_experts: undefined, num_experts: 4 });
    expect(older.experts).toEqual(expected);
    expect((await read({})).experts).toEqual(expected);
  });

  it.each([
    ["two counts", { num_experts: 5 }, /num_experts is 5, and num_local_experts 4/],
    ["more for a token than there are", { num_experts_per_tok: 5 }, /num_experts_per_tok is 5, of 4 experts/],
    ["layers without them", { mlp_only_layers: [0] }, /mlp_only_layers/],
    ["layers without them in turn", { decoder_sparse_step: 2 }, /decoder_sparse_step/],
  ])("are refused with %s", async (_, change, message) => {
    await expect(read(change)).rejects.toThrow(message);
  });
});

describe("weights", () => {
  let folder: string;
  const index = () => join(folder, "model.safetensors.index.json");
  const shard = (number: number) => join(folder, `model-0000${number}-of-00002.safetensors`);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-weights-"));
    await cp(join(fixtures, "qwen2"), folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true }));
  const stored = async (number: number) => (await readSafetensors(shard(number))).tensors as Weights;
  const mapped = async () =>
    JSON.parse(await readFile(index(), "utf8")) as { weight_map: Record<string, string> };

  it("of a folder with an index and one whole file are refused by both names", async () => {
    await cp(shard(1), join(folder, "model.safetensors"));
    await expect(loadModel(folder)).rejects.toThrow(
      /has model\.safetensors and model\.safetensors\.index\.json/,
    );
  });

  it("of a folder with an adapter beside them are refused, and so is an adapter in place of a model", async () => {
    const adapter = join(fixtures, "adapter", "adapter_config.json");
    await cp(adapter, join(folder, "adapter_config.json"));
    await expect(loadModel(folder)).rejects.toThrow(/has config\.json and adapter_config\.json/);
    await rm(join(folder, "config.json"));
    await expect(loadModel(folder)).rejects.toThrow(/is an adapter, and not a model: .*config\.json/);
  });

  it("are those of the shards, where their index leaves one out", async () => {
    const { weights } = await loadModel(folder);
    const { weight_map, ...others } = await mapped();
    delete weight_map["model.norm.weight"];
    await writeFile(index(), JSON.stringify({ ...others, weight_map }));
    expect((await loadModel(folder)).weights).toEqual(weights);
  });

  it("are refused where the index is cut off", async () => {
    await writeFile(index(), (await readFile(index(), "utf8")).slice(0, 300));
    await expect(loadModel(folder)).rejects.toThrow(/index\.json is damaged: it is not JSON/);
  });

  it("are refused where a shard has not what the index says", async () => {
    const { weight_map } = await mapped();
    await writeFile(index(), JSON.stringify({ weight_map: { ...weight_map, other: basename(shard(1)) } }));
    await expect(loadModel(folder)).rejects.toThrow(
      /says that model-00001-of-00002\.safetensors holds other/,
    );
  });

  it("are refused where a shard is missing", async () => {
    await rm(shard(2));
    await expect(loadModel(folder)).rejects.toThrow(/model-00002-of-00002\.safetensors/);
  });

  it("are refused where two shards hold the same", async () => {
    const [name, tensor] = Object.entries(await stored(1))[0]!;
    await writeSafetensors(shard(2), { ...(await stored(2)), [name]: tensor });
    await expect(loadModel(folder)).rejects.toThrow(
      new RegExp(`two shards hold ${name}, .*00001-of-00002.safetensors and .*00002-of-00002.safetensors`),
    );
  });

  it("are refused where the output is tied and is another matrix, and read where it is the same", async () => {
    const embedding = (await loadModel(folder)).weights["model.embed_tokens.weight"]!;
    const tensors = await stored(2);
    await writeSafetensors(shard(2), { ...tensors, "lm_head.weight": embedding });
    await loadModel(folder);
    const data = embedding.data.map((x) => 2 * x);
    await writeSafetensors(shard(2), { ...tensors, "lm_head.weight": { ...embedding, data } });
    await expect(loadModel(folder)).rejects.toThrow(
      /00002\.safetensors: lm_head\.weight .* tie_word_embeddings/,
    );
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "that hold %d are refused by the names of the tensors and their files",
    async (value) => {
      for (const number of [1, 2]) {
        const tensors = await stored(number);
        Object.values(tensors).at(-1)!.data.fill(value, -1);
        await writeSafetensors(shard(number), tensors);
      }
      const broken = `00002\\.safetensors: model\\.\\S+ holds ${value}`;
      await expect(loadModel(folder)).rejects.toThrow(
        new RegExp(
          `${broken.replace("00002", "00001-of-00002")}; .*${broken.replace("00002", "00002-of-00002")}`,
        ),
      );
    },
  );
});

describe("rotary positions", () => {
  const yarn = { rope_type: "yarn", rope_theta: 500, factor: 4, original_max_position_embeddings: 16 };
  it.each([
    ["yarn's own", {}, 0.1 * Math.log(4) + 1],
    ["that of two scales", { mscale: 707 / 1000, mscale_all_dim: 1 }, 0.964326914892074],
    ["yarn's own with one scale alone", { mscale: 707 / 1000 }, 0.1 * Math.log(4) + 1],
    ["what is given", { attention_factor: 0.5, mscale: 707 / 1000, mscale_all_dim: 1 }, 0.5],
    ["that of the contexts' ratio", { factor: null }, 0.1 * Math.log(4) + 1],
  ])("have the magnitude %s", (_, change, magnitude) => {
    expect(rotary(4, 64, { ...yarn, ...change }, "x").magnitude).toBeCloseTo(magnitude, 12);
  });

  it("are plain where they would be scaled for sequences beyond the context only", () => {
    const plain = { rope_theta: 500, rope_type: "default" };
    expect(rotary(8, 64, { ...plain, rope_type: "dynamic", factor: 4 }, "x")).toEqual(
      rotary(8, 64, plain, "x"),
    );
  });
});

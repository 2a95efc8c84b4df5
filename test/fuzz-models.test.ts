/** @file Models, adapters, dictionaries and labelled files of others: whatever is in their files, they load or are refused clearly, and soon. */

import { cp, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { openEngine } from "../src/engine/index.ts";
import { parseForeignJson } from "../src/foreign.ts";
import { readDecoderConfig } from "../src/model/huggingface/config.ts";
import { loadDecoderWeights } from "../src/model/huggingface/weights.ts";
import { loadAdapter, loadLlama2c, loadModel } from "../src/model/index.ts";
import { readLabelledFile } from "../src/prepare/index.ts";
import { loadSae } from "../src/probe/index.ts";
import { pick, type Random, randomInt } from "../src/random.ts";
import { fuzz, tried } from "./fuzz.ts";
import { ggufEdited, typeOf } from "./gguf.ts";

/** What stands in place of a GGUF file's values, and which other keys it may have. */
const ggufValues = [
  0,
  1,
  2,
  3,
  7n,
  2 ** 31,
  1e9,
  2n ** 63n,
  -1,
  0.5,
  Number.NaN,
  1e30,
  true,
  false,
  "",
  "x",
  "linear",
  "(a+)+$",
];
const ggufKeys = [
  ...[
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "rope.scaling.yarn_beta_fast",
    "expert_count",
  ],
  ...[
    "attention.key_length",
    "attention.value_length",
    "attention.sliding_window",
    "logit_scale",
    "tomorrow",
  ],
];

let place: string;
beforeAll(async () => {
  place = await realpath(await mkdtemp(join(tmpdir(), "probeward-fuzz-models-")));
  await cp(fileURLToPath(new URL("fixtures", import.meta.url)), place, { recursive: true });
});
afterAll(() => rm(place, { recursive: true }));

/** Damages each of a folder's files that its loader reads. */
async function fuzzFolder(folder: string, inputs: Record<string, number>, load: () => Promise<unknown>) {
  for (const [name, count] of Object.entries(inputs))
    await fuzz(`${folder}: ${name}`, join(place, folder, name), count, load, join(place, folder));
}

describe("the readers of", () => {
  it("checkpoints", async () => {
    const qwen2 = join(place, "checkpoints", "qwen2");
    await fuzzFolder("checkpoints/qwen2", { "config.json": 1200, "generation_config.json": 300 }, () =>
      loadModel(qwen2),
    );
    // Only that one has a tokenizer.
    for (const family of ["llama3", "qwen2-yarn", "gpt2"])
      await fuzzFolder(`checkpoints/${family}`, { "config.json": 1000 }, () => loadWithoutTokenizer(family));
    await fuzzFolder(
      "checkpoints/qwen2",
      {
        "model.safetensors.index.json": 500,
        "model-00001-of-00002.safetensors": 500,
        "tokenizer.json": 800,
        "tokenizer_config.json": 500,
      },
      async () => {
        const { tokenizer } = await loadModel(qwen2);
        tokenizer.decode(tokenizer.encode("Zürich, the <|im_end|> capital"));
      },
    );
  }, 240_000);

  it("adapters", async () => {
    const { config } = await loadWithoutTokenizer("llama");
    for (const folder of ["checkpoints/adapter", "checkpoints/adapter-narrowed"])
      await fuzzFolder(folder, { "adapter_config.json": 700, "adapter_model.safetensors": 300 }, () =>
        loadAdapter(join(place, folder), config),
      );
  }, 120_000);

  it("dictionaries", async () => {
    for (const name of ["standard", "topk", "jumprelu", "old-topk"]) {
      const folder = `sae/${name}`;
      await fuzzFolder(folder, { "cfg.json": 500, "sae_weights.safetensors": 200 }, async () =>
        (await loadSae(join(place, folder))).encode(new Float32Array(16)),
      );
    }
  }, 120_000);

  it("GGUF files", async () => {
    const path = join(place, "checkpoints", "gguf", "model.gguf");
    await fuzz("GGUF files, their bytes", path, 500, () => loadModel(path));
    const original = join(place, "original.gguf");
    await cp(path, original);
    const otherKeys = async (_: string, __: Buffer, random: Random) => ({
      how: "other keys",
      bytes: await ggufEdited(original, (keys) => {
        for (let n = randomInt(random, 3); n >= 0; n--) {
          const key = pick(random, Object.keys(keys));
          const value = pick(random, ggufValues);
          const changes = [
            () => delete keys[key],
            () => (keys[key] = { value, type: typeOf(value) }),
            () => (keys[`llama.${pick(random, ggufKeys)}`] = { value, type: typeOf(value) }),
            () => (keys[key] = keys[pick(random, Object.keys(keys))]!),
          ];
          // The file's version, and the count of its tensors, are damaged with its bytes.
          if (key !== "version" && key !== "tensor_count") pick(random, changes)();
        }
      }),
    });
    await fuzz("GGUF files, their keys", path, 1000, () => loadModel(path), path, otherKeys);
  }, 240_000);

  it("llama2.c's files", async () => {
    const path = join(place, "tiny.bin");
    const pieces = join(place, "pieces.bin");
    const tiny = tinyLlama2c();
    await writeFile(path, tiny.model);
    await writeFile(pieces, tiny.pieces);
    await loadLlama2c(path, pieces);
    await fuzz("llama2.c", path, 400, () => loadLlama2c(path, pieces), place);
    await fuzz("llama2.c's pieces", pieces, 400, () => loadLlama2c(path, pieces), place);
  }, 60_000);

  it("labelled files", async () => {
    const path = join(place, "labelled.jsonl");
    const examples = [
      { prompt: "1 + 1 =", completion: " 2", label: false, group: "sums" },
      { prompt: [{ role: "user", content: "Zürich?" }], completion: "no", label: true },
      { prompt: "", completion: "x", label: true, group: 3 },
    ];
    await writeFile(path, examples.map((example) => `${JSON.stringify(example)}\n`).join(""));
    const engine = await openEngine(join(place, "checkpoints", "qwen2"));
    await fuzz("labelled files", path, 1500, () => readLabelledFile(path, engine));
  }, 60_000);

  it("after all of this, at least 10,000 inputs were tried", () => {
    const total = Object.values(tried).reduce((sum, { inputs }) => sum + inputs, 0);
    const refused = Object.values(tried).reduce((sum, one) => sum + one.refused, 0);
    console.log(`${total} inputs, ${refused} refused:\n${JSON.stringify(tried, null, 1)}`);
    expect(total).toBeGreaterThanOrEqual(10_000);
    expect(refused).toBeGreaterThan(total / 3);
  });
});

async function loadWithoutTokenizer(family: string) {
  const folder = join(place, "checkpoints", family);
  const path = join(folder, "config.json");
  const json = parseForeignJson(z.unknown(), await readFile(path, "utf8"), path);
  const config = readDecoderConfig(json, { eos_token_id: 2 }, path);
  return { config, weights: await loadDecoderWeights(folder, config) };
}

/** One layer of random weights, in the layout of llama2.c, and its three tokens' pieces. */
function tinyLlama2c(): { model: Buffer; pieces: Buffer } {
  const [width, hidden, layers, heads, vocabulary, context] = [4, 4, 1, 2, 3, 4];
  const weights = vocabulary * width + layers * (2 * width + 4 * width * width + 3 * width * hidden) + width;
  const header = Int32Array.of(width, hidden, layers, heads, heads, vocabulary, context);
  const numbers = new Float32Array(weights + (context * width) / heads).fill(0.1);
  const pieces = ["a", "b", "c"].flatMap((piece) => {
    const bytes = Buffer.alloc(9, piece);
    bytes.writeFloatLE(-1, 0);
    bytes.writeInt32LE(1, 4);
    return [bytes];
  });
  return {
    model: Buffer.concat([Buffer.from(header.buffer), Buffer.from(numbers.buffer)]),
    pieces: Buffer.concat([Buffer.from(Int32Array.of(1).buffer), ...pieces]),
  };
}

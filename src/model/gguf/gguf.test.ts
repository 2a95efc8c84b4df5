/** @file GGUF files against `gguf` and `transformers` (test/fixtures/make_gguf.py), and SmolLM2 where a path to it is given. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { numpy as np } from "@jax-js/jax";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ggufWith } from "../../../test/gguf.ts";
import { openEngine } from "../../engine/index.ts";
import { compile, type JaxArray, readSafetensors, type Tensor } from "../../tensor/index.ts";
import { loadModel } from "../checkpoint.ts";
import type { DecoderConfig } from "../config.ts";
import { hiddenStates, logitsOf, weightSpecs } from "../transformer.ts";
import type { LoadedModel, TracedWeights } from "../types.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/checkpoints", import.meta.url));
const path = join(fixtures, "gguf", "model.gguf");

describe("a GGUF file", () => {
  let model: LoadedModel;
  let expected: Record<string, Tensor>;
  beforeAll(async () => {
    model = await loadModel(path);
    expected = (await readSafetensors(join(fixtures, "gguf", "expected.safetensors"))).tensors;
  });

  it.each(["F32", "F16", "Q8_0", "Q4_0", "Q4_1"])(
    "holds the weights of type %s that gguf unpacks",
    (type) => {
      const ofType = Object.entries(expected).filter(([key]) => key.startsWith(`${type} `));
      expect(ofType.length).toBeGreaterThan(1);
      for (const [key, { data }] of ofType) {
        const actual = model.weights[key.split(" ")[1]!]!.data;
        expect(actual.length).toBe(data.length);
        data.forEach((value, i) => {
          expect(Math.abs(actual[i]! - value), key).toBeLessThan(1e-6);
        });
      }
    },
  );

  it("gives the logits of transformers with those weights to 1e-4", async () => {
    const { config, weights } = model;
    const program = await compile(
      (traced: TracedWeights, tokens: JaxArray) =>
        logitsOf(traced, hiddenStates(traced, tokens, np.arange(24).astype(np.int32), config), config),
      [weightSpecs(config), expected.tokens!] as const,
    );
    const { data } = await program.evaluate(weights, expected.tokens!);
    const wanted = expected.logits!.data;
    expect(Math.max(...Array.from(data, (value, i) => Math.abs(value - wanted[i]!)))).toBeLessThan(1e-4);
    expect(Math.max(...wanted)).toBeGreaterThan(1);
    await program.close();
  });

  it("has the tokenizer and the chat template that were put into it", async () => {
    const wanted = JSON.parse(await readFile(join(fixtures, "qwen2", "expected.json"), "utf8"));
    expect(model.tokenizer.encode("")).toEqual([]);
    for (const { text, ids } of wanted.texts) expect(model.tokenizer.encode(text), text).toEqual(ids);
    expect(model.tokenizer.chat!(wanted.messages)).toEqual(wanted.chatIds);
    expect(model.tokenizer.decode(wanted.texts[1].ids)).toBe(wanted.texts[1].text);
  });

  it.each([
    ["the key of today", { "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4 }, 4],
    ["the older key", { "llama.rope.scale_linear": 4 }, 4],
    ["a factor of no type, which is linear", { "llama.rope.scaling.factor": 4 }, 4],
    [
      "a factor that is not to be used",
      { "llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4 },
      1,
    ],
    ["a factor of 0, which is none", { "llama.rope.scaling.factor": 0 }, 1],
  ])("has the rotary scaling of llama.cpp with %s", async (_, keys, factor) => {
    const scaled = join(await mkdtemp(join(tmpdir(), "probeward-gguf-")), "scaled.gguf");
    await writeFile(scaled, await ggufWith(path, keys));
    const { config } = (await loadModel(scaled)) as { config: DecoderConfig };
    // 8 dimensions a head.
    const frequencies = [0, 1, 2, 3].map((i) => 10_000 ** (-i / 4) / factor);
    config.rotary!.frequencies.forEach((frequency, i) => {
      expect(frequency).toBeCloseTo(frequencies[i]!, 12);
    });
    await rm(dirname(scaled), { recursive: true });
  });

  it("may say of itself what does not change it", async () => {
    const named = join(await mkdtemp(join(tmpdir(), "probeward-gguf-")), "named.gguf");
    const keys = {
      "general.name": "x",
      "general.file_type": 2,
      "quantize.imatrix.file": "y",
      "llama.vocab_size": 290,
    };
    await writeFile(named, await ggufWith(path, { ...keys, "llama.expert_count": 0 }));
    expect((await loadModel(named)).config).toEqual(model.config);
    await rm(dirname(named), { recursive: true });
  });

  describe("that is wrong", () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "probeward-gguf-"));
    });
    afterAll(() => rm(folder, { recursive: true }));

    it.each([
      [
        "cut off",
        (bytes: Buffer) => bytes.subarray(0, bytes.length - 100),
        /bad\.gguf is not a whole GGUF file/,
      ],
      ["no GGUF file at all", () => Buffer.from("not a model at all"), /bad\.gguf is not a whole GGUF file/],
      [
        "of another architecture",
        (bytes: Buffer) => Buffer.from(bytes.toString("latin1").replace("llama", "mamba"), "latin1"),
        /bad\.gguf: the architecture "mamba" is not supported/,
      ],
    ])("is refused where it is %s", async (_, change, message) => {
      const bad = join(folder, "bad.gguf");
      await writeFile(bad, change(await readFile(path)));
      await expect(loadModel(bad)).rejects.toThrow(message);
    });

    it.each([
      [
        "an architecture that is a number",
        { "general.architecture": 7n },
        /the architecture 7 is not supported/,
      ],
      ["a part of a model", { "split.count": 2 }, /split\.count is 2, which is not supported/],
      ["an adapter", { "general.type": "adapter" }, /general\.type is "adapter"/],
      [
        "a key that is not known",
        { "llama.tomorrow": 1 },
        /begin with llama\..*tomorrow \(1\) is not known here/s,
      ],
      ["experts", { "llama.expert_count": 8 }, /expert_count is 8/],
      ["a window", { "llama.attention.sliding_window": 16 }, /attention\.sliding_window is 16/],
      ["scaled logits", { "llama.logit_scale": 0.5 }, /logit_scale is 0\.5/],
      ["yarn with a factor", { "llama.rope.scaling.attn_factor": 1.5 }, /rope\.scaling\.attn_factor is 1\.5/],
      ["another kind of scaling", { "llama.rope.scaling.type": "longrope" }, /rope\.scaling\.type/],
      ["values of another length", { "llama.attention.value_length": 4 }, /attention\.value_length is 4/],
      ["a part of each head that rotates", { "llama.rope.dimension_count": 4 }, /rope\.dimension_count is 4/],
      ["a missing key", { "llama.block_count": undefined }, /block_count/],
      ["a key of another kind", { "llama.block_count": "two" }, /expected number.*at block_count/s],
      [
        "a thousand million layers",
        { "llama.block_count": 1e9 },
        /has 1000000000 layers, and it has 20 tensors/,
      ],
      [
        "heads that cannot share",
        { "llama.attention.head_count_kv": 3 },
        /3 heads of keys cannot be shared by 4/,
      ],
    ])("is refused with %s", async (_, keys, message) => {
      const bad = join(folder, "bad.gguf");
      await writeFile(bad, await ggufWith(path, keys));
      await expect(loadModel(bad)).rejects.toThrow(message);
      await expect(loadModel(bad)).rejects.toThrow(bad);
    });
  });
});

const smollm2 = process.env.PROBEWARD_SMOLLM2;
if (!smollm2) console.log("PROBEWARD_SMOLLM2 gives no path to SmolLM2-135M-Instruct: its test is skipped");

describe.skipIf(!smollm2)("SmolLM2-135M-Instruct", () => {
  it("answers a question", { timeout: 120_000 }, async () => {
    const engine = await openEngine(smollm2!);
    const { reference, tokenizer } = engine;
    const prompt = tokenizer.chat!([{ role: "user", content: "What is the capital of France?" }]);
    const [completion] = await reference.sample([prompt], { maxTokens: 32, temperature: 0, seed: ["chat"] });
    await engine.close();
    expect(tokenizer.decode(completion!.tokens)).toMatch(/Paris/);
    expect(completion!.stopReason).toBe("stop");
  });
});

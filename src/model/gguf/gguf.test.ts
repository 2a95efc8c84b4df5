/** @file GGUF files against `gguf` and `transformers` (test/fixtures/make_gguf.py), and SmolLM2 where a path to it is given. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { numpy as np } from "@jax-js/jax";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomFor } from "../../random.ts";
import { compile, type JaxArray, readSafetensors, type Tensor } from "../../tensor/index.ts";
import { loadModel, type Model } from "../checkpoint.ts";
import { createGenerator } from "../generate.ts";
import { weightSpecs } from "../score.ts";
import { hiddenStates, logitsOf, type TracedWeights } from "../transformer.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/checkpoints", import.meta.url));
const path = join(fixtures, "gguf", "model.gguf");

describe("a GGUF file", () => {
  let model: Model;
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
    const { data } = await program.run(weights, expected.tokens!);
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
  });
});

const smollm2 = process.env.PROBEWARD_SMOLLM2;
if (!smollm2) console.log("PROBEWARD_SMOLLM2 gives no path to SmolLM2-135M-Instruct: its test is skipped");

describe.skipIf(!smollm2)("SmolLM2-135M-Instruct", () => {
  it("answers a question", { timeout: 120_000 }, async () => {
    const { config, weights, tokenizer } = await loadModel(smollm2!);
    const prompt = tokenizer.chat!([{ role: "user", content: "What is the capital of France?" }]);
    const generator = createGenerator(config);
    const [completion] = await generator.generate(weights, [prompt], {
      maxTokens: 32,
      temperature: 0,
      random: () => randomFor("chat"),
    });
    await generator.close();
    expect(tokenizer.decode(completion!.tokens)).toMatch(/Paris/);
    expect(completion!.finished).toBe(true);
  });
});

/** @file Adapters: off they change nothing, on they do what PEFT does (test/fixtures/make_adapter.py), and files go both ways. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { numpy as np } from "@jax-js/jax";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomFor } from "../random.ts";
import { compile, type JaxArray, readSafetensors, type Tensor } from "../tensor/index.ts";
import { initialAdapter, loadAdapter, saveAdapter, splitWeights, withAdapter } from "./adapter.ts";
import type { DecoderConfig } from "./config.ts";
import { readDecoderConfig } from "./huggingface/config.ts";
import { loadDecoderWeights } from "./huggingface/weights.ts";
import { weightSpecs } from "./score.ts";
import { hiddenStates, logitsOf, type TracedWeights, type Weights } from "./transformer.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/checkpoints", import.meta.url));

async function logits(config: DecoderConfig, weights: Weights, tokens: Tensor): Promise<Float32Array> {
  const T = tokens.shape[1]!;
  const program = await compile(
    (traced: TracedWeights, tokens_BT: JaxArray) =>
      logitsOf(traced, hiddenStates(traced, tokens_BT, np.arange(T).astype(np.int32), config), config),
    [weightSpecs(config), tokens] as const,
  );
  const { data } = await program.run(weights, tokens);
  await program.close();
  return data.slice() as Float32Array;
}

const largestDifference = (a: Tensor["data"], b: Tensor["data"]) =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

describe("adapters", () => {
  let config: DecoderConfig;
  let weights: Weights;
  let expected: Record<string, Tensor>;
  let folder: string;
  beforeAll(async () => {
    const llama = join(fixtures, "llama");
    const json = JSON.parse(await readFile(join(llama, "config.json"), "utf8"));
    config = readDecoderConfig(json, null, llama);
    weights = await loadDecoderWeights(llama, config);
    expected = (await readSafetensors(join(llama, "expected.safetensors"))).tensors;
    folder = await mkdtemp(join(tmpdir(), "probeward-adapter-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("change nothing at first, and share the frozen weights", async () => {
    const adapted = withAdapter(config, { rank: 4, alpha: 8, targets: ["q_proj", "down_proj"] });
    const fresh = initialAdapter(adapted, randomFor("adapter"));
    const all = { ...weights, ...fresh };
    expect(
      largestDifference(await logits(adapted, all, expected.tokens!), expected.logits!.data),
    ).toBeLessThan(1e-4);
    const { trained, frozen } = splitWeights(adapted, all);
    expect(Object.keys(trained)).toEqual(Object.keys(fresh));
    expect(Object.keys(trained)).toHaveLength(2 * 2 * config.layers);
    for (const [name, tensor] of Object.entries(frozen)) expect(tensor).toBe(weights[name]);
  });

  it("that PEFT wrote give PEFT's logits", async () => {
    const { config: adapted, weights: adapter } = await loadAdapter(join(fixtures, "adapter"), config);
    expect(adapted.adapter).toEqual({
      rank: 3,
      alpha: 12,
      targets: expect.arrayContaining(["q_proj", "up_proj"]),
    });
    const { tensors } = await readSafetensors(join(fixtures, "adapter", "expected.safetensors"));
    const actual = await logits(adapted, { ...weights, ...adapter }, expected.tokens!);
    expect(largestDifference(actual, tensors.logits!.data)).toBeLessThan(1e-4);
    expect(largestDifference(actual, expected.logits!.data)).toBeGreaterThan(0.1);
  });

  it("are the same after they are saved and loaded", async () => {
    const adapted = withAdapter(config, { rank: 2, alpha: 4, targets: ["v_proj", "o_proj"] });
    const adapter = initialAdapter(adapted, randomFor("adapter"));
    await saveAdapter(folder, adapted, { ...weights, ...adapter }, "llama");
    const loaded = await loadAdapter(folder, config);
    expect(loaded.config).toEqual(adapted);
    expect(loaded.weights).toEqual(adapter);
  });

  it.each([
    ["DoRA", { use_dora: true }, /adapter_config\.json.*use_dora/s],
    ["trained biases", { bias: "all" }, /adapter_config\.json.*bias/s],
    ["an unknown target", { target_modules: ["w_pack"] }, /no projection w_pack; this model has q_proj/],
    ["another rank", { r: 5 }, /lora_A.weight is float32\[2,16\]; \[5,16\] is wanted/],
    ["fewer targets", { target_modules: ["v_proj"] }, /no place for: .*o_proj/],
  ])("are refused with %s", async (_, change, message) => {
    const adapted = withAdapter(config, { rank: 2, alpha: 4, targets: ["v_proj", "o_proj"] });
    await saveAdapter(folder, adapted, initialAdapter(adapted, randomFor("adapter")), "llama");
    const path = join(folder, "adapter_config.json");
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...change }));
    await expect(loadAdapter(folder, config)).rejects.toThrow(message);
  });

  it("are refused on the embedded model", () => {
    const embedded = { architecture: "probeward-character" as const, alphabet: "ab", context: 8 };
    const sizes = { layers: 1, heads: 1, width: 4, hidden: 4 };
    expect(() => withAdapter({ ...embedded, ...sizes }, { rank: 1, alpha: 1, targets: ["q_proj"] })).toThrow(
      /probeward-character takes none/,
    );
  });
});

/** @file Adapters: off they change nothing, on they do what PEFT does (test/fixtures/make_adapter.py), and files go both ways. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { numpy as np } from "@jax-js/jax";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomFor } from "../random.ts";
import { compile, type JaxArray, readSafetensors, type Tensor } from "../tensor/index.ts";
import { initialAdapter, splitWeights, withAdapter } from "./adapter.ts";
import { loadAdapter, saveAdapter } from "./adapter-file.ts";
import type { DecoderConfig } from "./config.ts";
import { readDecoderConfig } from "./huggingface/config.ts";
import { loadDecoderWeights } from "./huggingface/weights.ts";
import { hiddenStates, logitsOf, weightSpecs } from "./transformer.ts";
import type { TracedWeights, Weights } from "./types.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/checkpoints", import.meta.url));

async function logits(config: DecoderConfig, weights: Weights, tokens: Tensor): Promise<Float32Array> {
  const T = tokens.shape[1]!;
  const program = await compile(
    (traced: TracedWeights, tokens_BT: JaxArray) =>
      logitsOf(traced, hiddenStates(traced, tokens_BT, np.arange(T).astype(np.int32), config), config),
    [weightSpecs(config), tokens] as const,
  );
  const { data } = await program.evaluate(weights, tokens);
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

  it("may have targets of other sizes, stabilised ranks and rows' lengths of their own, and are the same in a file", async () => {
    const adapted = withAdapter(config, {
      ...{ rank: 4, alpha: 8, targets: ["q_proj", "down_proj"], dora: true, rslora: true },
      sizes: { "layers.1.mlp.down_proj": { rank: 2 }, down_proj: { alpha: 3 } },
    });
    expect(adapted.adapter).toEqual({
      ...{ rank: 4, alpha: 16, targets: ["q_proj", "down_proj"], dora: true },
      sizes: {
        "model.layers.0.mlp.down_proj": { rank: 4, alpha: 6 },
        "model.layers.1.mlp.down_proj": { rank: 2, alpha: 8 * Math.SQRT2 },
      },
    });
    const adapter = initialAdapter(adapted, randomFor("sizes"), weights);
    expect(adapter["model.layers.1.mlp.down_proj.lora_A.weight"]!.shape[0]).toBe(2);
    const before = await logits(adapted, { ...weights, ...adapter }, expected.tokens!);
    expect(largestDifference(before, expected.logits!.data)).toBeLessThan(1e-4);
    await saveAdapter(folder, adapted, { ...weights, ...adapter }, "llama");
    expect((await loadAdapter(folder, config)).config).toEqual(adapted);
    const wrong = { rank: 4, alpha: 8, targets: ["q_proj"], sizes: { down_proj: { rank: 2 } } };
    expect(() => withAdapter(config, wrong)).toThrow(/no projection down_proj among its targets/);
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

  it("are the same however PEFT names what they change", async () => {
    const adapted = withAdapter(config, { rank: 2, alpha: 4, targets: ["v_proj", "o_proj"] });
    const adapter = initialAdapter(adapted, randomFor("adapter"));
    await saveAdapter(folder, adapted, adapter, "llama");
    const path = join(folder, "adapter_config.json");
    const written = JSON.parse(await readFile(path, "utf8"));
    const whole = [0, 1].flatMap((layer) =>
      ["v_proj", "o_proj"].map((name) => `model.layers.${layer}.self_attn.${name}`),
    );
    for (const change of [
      { target_modules: whole },
      { target_modules: ["self_attn.v_proj", "self_attn.o_proj"] },
      { target_modules: ".*self_attn\\.(v|o)_proj" },
      { target_modules: ["v_proj", "k_proj", "o_proj"], exclude_modules: ["k_proj"] },
    ]) {
      await writeFile(path, JSON.stringify({ ...written, ...change }));
      expect(await loadAdapter(folder, config)).toEqual({ config: adapted, weights: adapter });
    }
  });

  it("of some layers, with ranks that are stabilised, give PEFT's logits", async () => {
    const { config: adapted, weights: adapter } = await loadAdapter(
      join(fixtures, "adapter-narrowed"),
      config,
    );
    expect(adapted.adapter?.targets).toEqual(["q_proj", "model.layers.1.mlp.up_proj"]);
    expect(adapted.adapter?.alpha).toBeCloseTo(12 * Math.sqrt(3), 6);
    const { tensors } = await readSafetensors(join(fixtures, "adapter-narrowed", "expected.safetensors"));
    const actual = await logits(adapted, { ...weights, ...adapter }, expected.tokens!);
    expect(largestDifference(actual, tensors.logits!.data)).toBeLessThan(1e-4);
    expect(largestDifference(actual, expected.logits!.data)).toBeGreaterThan(0.1);
  });

  it.each([
    ["rows' lengths that are not there", { use_dora: true }, /lacks the tensor .*lora_magnitude_vector/],
    ["trained biases", { bias: "all" }, /adapter_config\.json.*bias/s],
    ["a base that is changed", { init_lora_weights: "olora" }, /adapter_config\.json.*init_lora_weights/s],
    [
      "other ranks by pattern",
      { rank_pattern: { "0.self_attn.v_proj": 4 } },
      /layers\.0\.self_attn\.v_proj\.lora_A\.weight has shape \[2,16\]; its configuration wants \[4,16\]/,
    ],
    ["a pattern that is none", { alpha_pattern: { "(": 4 } }, /the pattern "\(" cannot be read/],
    ["a pattern of words", { rank_pattern: { v_proj: "many" } }, /rank_pattern/],
    ["trained modules", { modules_to_save: ["lm_head"] }, /adapter_config\.json.*modules_to_save/s],
    ["a setting of tomorrow", { use_tomorrow: true }, /use_tomorrow \(true\) is not known here/],
    [
      "an unknown target",
      { target_modules: ["w_pack"] },
      /adapter_config\.json: target_modules \["w_pack"\] names nothing/,
    ],
    ["another rank", { r: 5 }, /lora_A.weight has shape \[2,16\]; its configuration wants \[5,16\]/],
    ["fewer targets", { target_modules: ["v_proj"] }, /no place for: .*o_proj/],
    ["more targets", { target_modules: ["v_proj", "o_proj", "q_proj"] }, /lacks the tensor .*q_proj/],
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

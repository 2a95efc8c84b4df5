/** @file GGUF files of the families against `transformers` with their weights (test/fixtures/make_gguf_families.py). */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { numpy as np } from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { ggufWith } from "../../../test/gguf.ts";
import { compile, type JaxArray, readSafetensors, type Tensor } from "../../tensor/index.ts";
import { loadModel } from "../checkpoint.ts";
import type { DecoderConfig } from "../config.ts";
import { hiddenStates, logitsOf, weightSpecs } from "../transformer.ts";
import type { TracedWeights } from "../types.ts";

const folder = fileURLToPath(new URL("../../../test/fixtures/checkpoints/gguf/", import.meta.url));
const families = "qwen2 qwen3 olmo2 phi3 phi3-longrope gemma2 gemma3 gptneox gptneox-in-turn".split(" ");
const configOf = async (path: string) => (await loadModel(path)).config as DecoderConfig;

describe("a GGUF file", () => {
  let expected: Record<string, Tensor>;
  beforeAll(async () => {
    expected = (await readSafetensors(`${folder}families.safetensors`)).tensors;
  });

  it.each(families)("of %s gives the logits of transformers to 1e-4", async (name) => {
    const { config, weights } = await loadModel(`${folder}${name}.gguf`);
    const program = await compile(
      (traced: TracedWeights, tokens: JaxArray) =>
        logitsOf(traced, hiddenStates(traced, tokens, np.arange(24).astype(np.int32), config), config),
      [weightSpecs(config), expected.tokens!] as const,
    );
    const { data } = await program.evaluate(weights, expected.tokens!);
    const wanted = expected[name]!.data;
    const difference = Math.max(...Array.from(data, (value, i) => Math.abs(value - wanted[i]!)));
    if (process.env.PROBEWARD_AGREEMENT) console.log(name, difference / Math.max(...wanted.map(Math.abs)));
    expect(difference).toBeLessThan(1e-4);
    expect(Math.max(...wanted)).toBeGreaterThan(1);
    await program.close();
  });
});

describe("keys of a family", () => {
  const changed = async (name: string, keys: Parameters<typeof ggufWith>[1]) => {
    const own = await mkdtemp(join(tmpdir(), "probeward-gguf-"));
    const path = join(own, "changed.gguf");
    await writeFile(path, await ggufWith(`${folder}${name}.gguf`, keys));
    return configOf(path).finally(() => rm(own, { recursive: true }));
  };

  it("say which layers of a Gemma have windows, and how those are turned", async () => {
    expect((await configOf(`${folder}gemma2.gguf`)).sliding).toEqual({ layers: [0, 2], window: 5 });
    const { sliding } = await configOf(`${folder}gemma3.gguf`);
    expect(sliding!.layers).toEqual([0, 1, 2, 3, 4, 6]);
    expect(sliding!.rotary!.frequencies[1]).toBeCloseTo(10_000 ** (-2 / 8), 9);
    const keys = { "gemma3.attention.sliding_window_pattern": 2, "gemma3.rope.freq_base_swa": 100 };
    const other = (await changed("gemma3", keys)).sliding!;
    expect(other.layers).toEqual([0, 2, 4, 6]);
    expect(other.rotary!.frequencies[1]).toBeCloseTo(100 ** (-2 / 8), 9);
  });

  it("are refused in another family, and missed where they are needed", async () => {
    await expect(changed("qwen2", { "qwen2.attn_logit_softcapping": 50 })).rejects.toThrow(
      /attn_logit_softcapping is 50/,
    );
    await expect(changed("gptneox", { "gptneox.attention.layer_norm_epsilon": undefined })).rejects.toThrow(
      /lacks the key gptneox.attention.layer_norm_epsilon/,
    );
    await expect(changed("olmo2", { "olmo2.rope.dimension_count": 2 })).rejects.toThrow(
      /rope.dimension_count is 2/,
    );
  });
});

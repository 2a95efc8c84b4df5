/** @file Plans: what is refused, and what is planned of a model that has a configuration and nothing else. */

import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { onXla } from "../../test/xla.ts";
import { UsageError } from "../errors.ts";
import { aboutModel, trainableShapes, weightShapes, withAdapter } from "../model/index.ts";
import { sizeOf } from "../tensor/index.ts";
import { planInWords, planStudy, readStudy } from "./index.ts";

/** A folder with a Qwen's `config.json` alone, and a study of it. */
async function bare() {
  const folder = await mkdtemp(join(tmpdir(), "probeward-plan-"));
  const config = {
    ...{ model_type: "qwen3", head_dim: 32, hidden_size: 128, intermediate_size: 256, vocab_size: 512 },
    ...{ num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 256 },
    tie_word_embeddings: true,
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  const settings = await readStudy(
    {
      ...{ environment: "code", arms: ["probe-penalty", "probe-loss"], model: folder, adapter: { rank: 4 } },
      training: { prompts: 2, rollouts: 4 },
      probe: { tracer: 8 },
      engine: { runtime: "xla", dtype: "bfloat16" },
    },
    {},
  );
  return { folder, settings };
}

describe("a plan is refused", () => {
  it.each([
    [
      "a device that is not known",
      { device: "h900" },
      {},
      /--device: there is no "h900" here; there are a100, h100/,
    ],
    ["an arm that the study has not", { arm: "none" }, {}, /no arm "none"; it has probe-penalty, probe-loss/],
    [
      "a model that is not there",
      {},
      { model: "qwen9-4b" },
      /config\.json cannot be read.*name of a shape: .*qwen3-4b/,
    ],
    ["lengths beyond the context", { prompt: 300 }, {}, /the model reads 256: give shorter ones/],
    [
      "a Python that is not there",
      {},
      { engine: { runtime: "xla", python: "/no/python" } },
      /no such program.*PROBEWARD_PYTHON/,
    ],
  ] as const)("for %s", async (_, request, changed, message) => {
    const { settings } = await bare();
    const planning = planStudy({ ...settings, ...changed } as never, {
      devices: 2,
      device: "h100",
      ...request,
    });
    await expect(planning).rejects.toThrow(message);
    await expect(planning).rejects.toBeInstanceOf(UsageError);
  });
});

onXla("a plan", () => {
  it("takes a configuration and nothing else, writes nothing, and adds up", {
    timeout: 300_000,
  }, async () => {
    const { folder, settings } = await bare();
    const plan = await planStudy(settings, { devices: 4, device: "h100", prompt: 20, completion: 11 });
    expect(await readdir(folder)).toEqual(["config.json"]);
    const { kinds, total } = plan.memory;
    expect(Object.values(kinds).reduce((sum, bytes) => sum + bytes, 0)).toBe(total);
    // Matrices of the model in bfloat16; adapters, of the policy and of the reference (zeros), in float32. What is large is divided.
    const config = await aboutModel(folder);
    const each = (shape: readonly number[], bytes: number) =>
      (sizeOf(shape) * bytes) / (shape.length > 1 && sizeOf(shape) >= 2 ** 14 ? 4 : 1);
    const sum = (shapes: Record<string, number[]>, bytes: (shape: number[]) => number) =>
      Object.values(shapes).reduce((total, shape) => total + each(shape, bytes(shape)), 0);
    const adapters = trainableShapes(withAdapter(config, settings.adapter!));
    expect(kinds.weights).toBe(
      sum(weightShapes(config), ({ length }) => (length > 1 ? 2 : 4)) + 2 * sum(adapters, () => 4),
    );
    const parts = Object.values(plan.step);
    for (const part of parts) expect(part.runs).toBeGreaterThan(0);
    expect(parts.reduce((sum, { operations }) => sum + operations, 0)).toBeCloseTo(plan.total.operations, 0);
    expect(plan.memory.fits).toBe(true);
    expect(planInWords(plan)).toMatch(
      /4 x NVIDIA H100 SXM, bfloat16; 2 prompts of 20 tokens, 4 completions of 12 each/,
    );
  });
});

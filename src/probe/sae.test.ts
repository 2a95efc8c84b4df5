/** @file Dictionaries: features as SAELens computes them, and a feature as a probe. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Weights } from "../model/index.ts";
import { readSafetensors, writeSafetensors } from "../tensor/index.ts";
import type { StorableTensor } from "../tensor/safetensors.ts";
import { loadProbe, saveProbe } from "./probe-file.ts";
import { loadSae } from "./sae.ts";
import { logit } from "./score.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/sae/", import.meta.url));
const expected = JSON.parse(await readFile(join(fixtures, "expected.json"), "utf8")) as {
  activations: number[][];
  features: Record<string, number[][]>;
};
const activations = expected.activations.map((row) => Float32Array.from(row));
const names = Object.keys(expected.features);
const normalising = ["layer-norm", "rescaled"];

describe.each(names)("the dictionary %s", (name) => {
  it("gives SAELens's features", async () => {
    const sae = await loadSae(join(fixtures, name));
    expect(sae).toMatchObject({ hook: "blocks.0.hook_resid_post", size: 24 });
    activations.forEach((activation, i) => {
      const features = sae.encode(activation);
      const wanted = expected.features[name]![i]!;
      features.forEach((x, f) => {
        expect(Math.abs(x - wanted[f]!), `feature ${f} of activation ${i}`).toBeLessThan(1e-4);
        expect(x > 0).toBe(wanted[f]! > 0);
      });
    });
  });

  it("has probes whose logit is the feature where it is on, and that flag it exactly then", async () => {
    const sae = await loadSae(join(fixtures, name));
    // Those whose inputs are normalised one by one have none.
    if (normalising.includes(name)) {
      expect(() => sae.probe(0, { positions: "completion", pool: "mean" })).toThrow(/are not linear/);
      return;
    }
    let on = 0;
    activations.forEach((activation, i) => {
      const wanted = expected.features[name]![i]!;
      wanted.forEach((x, f) => {
        const probe = sae.probe(f, { positions: "completion", pool: "mean" });
        const read = logit(probe, activation);
        if (x > 0) {
          on++;
          expect(read).toBeCloseTo(x, 4);
          expect(read >= probe.threshold).toBe(true);
        } else if (sae.architecture !== "topk") expect(read >= probe.threshold).toBe(false);
      });
    });
    expect(on).toBeGreaterThan(10);
  });
});

it("a feature's probe can be stored and read again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "probeward-sae-"));
  const probe = (await loadSae(join(fixtures, "jumprelu"))).probe(3, {
    positions: "completion-last",
    pool: "max",
  });
  await saveProbe(folder, probe);
  expect(await loadProbe(folder)).toEqual(probe);
  await rm(folder, { recursive: true });
});

/** A fixture under another configuration, and with other tensors beside or in place of its own. */
async function changed(name: string, change: object, tensors: Record<string, StorableTensor> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "probeward-sae-"));
  const config = JSON.parse(await readFile(join(fixtures, name, "cfg.json"), "utf8"));
  await writeFile(join(folder, "cfg.json"), JSON.stringify({ ...config, ...change }));
  const stored = (await readSafetensors(join(fixtures, name, "sae_weights.safetensors"))).tensors as Weights;
  await writeSafetensors(join(folder, "sae_weights.safetensors"), { ...stored, ...tensors });
  return loadSae(folder).finally(() => rm(folder, { recursive: true }));
}

describe("a dictionary of centred activations", () => {
  const processing = { model_from_pretrained_kwargs: { center_writing_weights: true } };
  it.each([
    ["before version 6", "old-topk", processing],
    ["of version 6", "standard", { metadata: { hook_name: "blocks.0.hook_resid_post", ...processing } }],
  ])("%s reads activations minus their mean", async (_, name, change) => {
    const [plain, centred] = [await loadSae(join(fixtures, name)), await changed(name, change)];
    expect([plain.isCentred, centred.isCentred]).toEqual([false, true]);
    let largest = 0;
    for (const activation of activations) {
      const mean = activation.reduce((sum, x) => sum + x / activation.length, 0);
      const wanted = plain.encode(activation.map((x) => x - mean));
      const asItIs = plain.encode(activation);
      centred.encode(activation).forEach((feature, f) => {
        expect(Math.abs(feature - wanted[f]!)).toBeLessThan(1e-4);
        largest = Math.max(largest, Math.abs(feature - asItIs[f]!));
      });
    }
    expect(largest).toBeGreaterThan(0.1);
  });
});

it("settings of training, and of whose activations it reads, change nothing", async () => {
  const settings = {
    lr: 1e-4,
    l1_coefficient: 5,
    model_name: "gpt2",
    context_size: 128,
    hook_head_index: null,
  };
  const ones = { scaling_factor: { shape: [24], data: new Float32Array(24).fill(1) } };
  const described = {
    ...settings,
    model_from_pretrained_kwargs: { fold_ln: true, center_writing_weights: false },
  };
  const [plain, other] = [
    await loadSae(join(fixtures, "old-topk")),
    await changed("old-topk", described, ones),
  ];
  for (const activation of activations) expect(other.encode(activation)).toEqual(plain.encode(activation));
});

describe("is refused", () => {
  it.each([
    [
      "its inputs are scaled by a number that is not there",
      { normalize_activations: "expected_average_only_in" },
      /"expected_average_only_in", which is not supported; none, layer_norm and constant_norm_rescale are/,
    ],
    [
      "it is of another architecture",
      { architecture: "temporal" },
      /the architecture "temporal" is not supported; standard and gated \(ReLU\), topk and jumprelu are/,
    ],
    [
      "it has another activation",
      { activation_fn: "tanh-relu" },
      /"standard" with tanh-relu is not supported/,
    ],
    ["its hook is not said", { metadata: {} }, /has no hook_name/],
    ["it reads heads apart", { reshape_activations: "hook_z" }, /heads of blocks\.0\.hook_resid_post apart/],
    ["its weights have other shapes", { d_sae: 25 }, /W_enc has shape \[16,24\]; cfg\.json wants \[16,25\]/],
    ["a number is missing", { d_in: null }, /d_in/],
    ["it is of one head", { hook_head_index: 3 }, /hook_head_index is 3, which is not supported/],
    ["its features were scaled", { finetuning_scaling_factor: true }, /finetuning_scaling_factor is true/],
    ["it has a setting of tomorrow", { tomorrow: 1 }, /cfg\.json.*tomorrow \(1\) is not known here/s],
    [
      "its model was loaded in another way",
      { metadata: { hook_name: "x", model_from_pretrained_kwargs: { checkpoint_index: 9 } } },
      /checkpoint_index \(9\) is not known.*at metadata\.model_from_pretrained_kwargs/s,
    ],
  ])("where %s", async (_, change, message) => {
    await expect(changed("standard", change)).rejects.toThrow(message);
  });

  it("where its tensors are not finite, or others are beside them", async () => {
    const bias = { shape: [24], data: new Float32Array(24).fill(Number.NaN, 3, 4) };
    await expect(changed("standard", {}, { b_enc: bias })).rejects.toThrow(
      /b_enc holds numbers that are not finite/,
    );
    const two = { shape: [24], data: new Float32Array(24).fill(2) };
    for (const name of ["scaling_factor", "b_gate"])
      await expect(changed("standard", {}, { [name]: two })).rejects.toThrow(`has the tensor ${name}`);
  });

  it("where its settings are cut off", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-sae-"));
    await writeFile(join(folder, "cfg.json"), '{"d_in": 16, "d_s');
    await expect(loadSae(folder)).rejects.toThrow(`${join(folder, "cfg.json")} is damaged: it is not JSON`);
    await rm(folder, { recursive: true });
  });

  it("where there is no dictionary, or no such feature", async () => {
    await expect(loadSae(fixtures)).rejects.toThrow(/is no SAELens dictionary/);
    const sae = await loadSae(join(fixtures, "standard"));
    for (const feature of [24, -1, 0.5])
      expect(() => sae.probe(feature, { positions: "completion", pool: "mean" })).toThrow(
        /there is no feature .*; the dictionary has 24/,
      );
  });
});

/** @file Dictionaries: features as SAELens computes them, and a feature as a probe. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
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

describe("is refused", () => {
  const changed = async (name: string, change: object) => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-sae-"));
    const config = JSON.parse(await readFile(join(fixtures, name, "cfg.json"), "utf8"));
    await writeFile(join(folder, "cfg.json"), JSON.stringify({ ...config, ...change }));
    await writeFile(
      join(folder, "sae_weights.safetensors"),
      await readFile(join(fixtures, name, "sae_weights.safetensors")),
    );
    return loadSae(folder);
  };

  it("where it is gated", async () => {
    await expect(loadSae(join(fixtures, "old-gated"))).rejects.toThrow(
      /cfg\.json: the architecture "gated" is not supported; standard \(ReLU\), topk and jumprelu are/,
    );
  });

  it.each([
    [
      "its inputs are normalised",
      { normalize_activations: "layer_norm" },
      /"layer_norm", which is not supported/,
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
  ])("where %s", async (_, change, message) => {
    await expect(changed("standard", change)).rejects.toThrow(message);
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

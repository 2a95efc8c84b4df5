/** @file What runs start from: the probe's quality as a dial, held-out probes, and folders of earlier versions. */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { tinyContext, tinyEnvironment } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import type { Sequence } from "../engine/index.ts";
import type { Environment } from "../environment/types.ts";
import { UsageError } from "../errors.ts";
import { auroc, loadSae, saveProbe } from "../probe/index.ts";
import { prepareBase } from "./base.ts";
import { createOnce } from "./completions.ts";

// They train for real: more than a few seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const { engine } = tinyContext();
const { tokenizer } = engine;

/** A base with other settings of the probe; shares what may be shared. */
const once = createOnce();
function prepare(probe: object, folder?: string) {
  const settings = tinySettings();
  settings.probe = { ...settings.probe, ...probe };
  const environment = tinyEnvironment() as Environment;
  return prepareBase(folder, {
    environment,
    settings,
    once,
    engine,
  });
}

describe("prepareBase", () => {
  it("fits the probe on few examples, and the held-out probes on all", async () => {
    const whole = await prepare({});
    const few = await prepare({ examples: 8 });
    expect(few.summary.counts.fit).toEqual({ total: 8, misbehaving: 4 });
    expect(whole.summary.counts.fit!.total).toBeGreaterThan(60);
    expect(few.probe.weight_D).not.toEqual(whole.probe.weight_D);
    expect(few.tracer).toEqual(whole.tracer);
    expect(Object.keys(few.heldOutProbes)).toEqual(["other-sample", "other-kind"]);
    if (few.probe.kind === whole.probe.kind) expect(few.heldOutProbes).toEqual(whole.heldOutProbes);
  });

  it("tells how the probe does on each family, over the tracer set", async () => {
    const { summary, tracer } = await prepare({});
    expect(Object.keys(summary.families!)).toEqual(["x"]);
    const { recall, auroc } = summary.families!.x!;
    const misbehaving = tracer.misbehaving.filter(Boolean).length;
    expect(misbehaving).toBeGreaterThan(0);
    expect(recall! * misbehaving).toBeCloseTo(Math.round(recall! * misbehaving), 6);
    expect(auroc).toBeGreaterThan(0.5);
  });

  it("tells the AUROCs apart on completions whose text was not fitted on", async () => {
    const { summary, sets, heldOut } = await prepare({ examples: 8 });
    const textOf = ({ tokens, promptLength }: Sequence) => tokenizer.decode(tokens.slice(promptLength));
    const fitted = sets.fit.sequences.map(textOf);
    const unseen = heldOut.sequences.flatMap((one, i) => (fitted.includes(textOf(one)) ? [] : [i]));
    expect(unseen.length).toBeGreaterThan(0);
    expect(unseen.length).toBeLessThan(summary.counts.test!.total);
    const labels = unseen.map((i) => heldOut.misbehaved[i]!);
    const aurocOf = (logits: readonly number[]) =>
      auroc(
        unseen.map((i) => logits[i]!),
        labels,
      );
    expect(summary.unseen).toEqual({
      ...{ total: unseen.length, misbehaving: labels.filter(Boolean).length },
      ...{ probeAuroc: aurocOf(heldOut.logits), textBaselineAuroc: aurocOf(heldOut.textLogits) },
    });
  });

  it("pools by the maximum where asked, with a threshold of its own", async () => {
    const mean = await prepare({});
    const max = await prepare({ pool: "max" });
    expect(max.probe.tap.pool).toBe("max");
    expect(max.probe.weight_D).toEqual(mean.probe.weight_D);
    expect(max.probe.threshold).toBeGreaterThan(mean.probe.threshold);
    max.heldOut.logits.forEach((logit, i) => {
      expect(logit).toBeGreaterThanOrEqual(mean.heldOut.logits[i]!);
    });
  });

  it("reads back what it stored, and refuses what an earlier version stored, which can be made anew", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-base-"));
    const made = await prepare({}, folder);
    expect(await prepare({}, folder)).toEqual(made);
    const path = join(folder, "base.json");
    const {
      version,
      heldOutProbes: _,
      text: __,
      sets: ___,
      ...earlier
    } = JSON.parse(await readFile(path, "utf8"));
    expect(version).toBe(3);
    await writeFile(path, JSON.stringify(earlier));
    await expect(prepare({}, folder)).rejects.toThrow(/base\.json is not valid.*move it away and run/s);
    await rm(path);
    expect(await prepare({}, folder)).toEqual(made);
  });

  it("refuses a held-out probe whose layer was edited, as it refuses the initial one", async () => {
    for (const name of ["initial", "other-kind"]) {
      const folder = await mkdtemp(join(tmpdir(), "probeward-base-"));
      await prepare({}, folder);
      const path = join(folder, "probes", name, "probe.json");
      const file = JSON.parse(await readFile(path, "utf8"));
      expect(file.passport.examples.length).toBeGreaterThan(0);
      file.tap.positions = "completion-last";
      file.passport.read.positions = "completion-last";
      await writeFile(path, JSON.stringify(file));
      await expect(prepare({}, folder)).rejects.toThrow(/stored example \d+ had the logit/);
    }
  });

  it("takes a probe from a file in place of a sweep, and sets its threshold anew", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-base-"));
    const { probe } = await prepare({ pool: "max" });
    await saveProbe(folder, { ...probe, threshold: -50 });
    const given = await prepare({ file: folder, falsePositiveRate: 0.1 });
    expect(given.probe).toEqual(probe);
    expect(given.summary.sweep).toEqual([]);
  });

  it("takes a feature of a sparse autoencoder as the probe, and fits only what it is compared with", async () => {
    const path = fileURLToPath(new URL("../../test/fixtures/sae/jumprelu", import.meta.url));
    const { probe, summary, heldOutProbes } = await prepare({
      sae: { path, feature: 7, positions: "completion" },
    });
    const feature = (await loadSae(path)).probe(7, { positions: "completion", pool: "mean" });
    expect({ ...probe, threshold: 0 }).toEqual({ ...feature, threshold: 0 });
    expect(summary).toMatchObject({ kind: "sae-feature", hook: "blocks.0.hook_resid_post" });
    expect(heldOutProbes["other-sample"]!.kind).toBe("logistic");
    const missing = prepare({ sae: { path, feature: 99, positions: "completion" } });
    await expect(missing).rejects.toThrow(/^probe\.sae: there is no feature 99; the dictionary has 24/);
    const centred = await mkdtemp(join(tmpdir(), "probeward-centred-"));
    await cp(path, centred, { recursive: true });
    const settings = JSON.parse(await readFile(join(centred, "cfg.json"), "utf8"));
    settings.model_from_pretrained_kwargs = { center_writing_weights: true };
    await writeFile(join(centred, "cfg.json"), JSON.stringify(settings));
    await expect(prepare({ sae: { path: centred, feature: 7, positions: "completion" } })).rejects.toThrow(
      /center_writing_weights, and is for a model with layer norms/,
    );
    await rm(centred, { recursive: true });
    await expect(missing).rejects.toThrow(UsageError);
    await expect(prepare({ file: path })).rejects.toThrow(/^probe\.file: .*jumprelu is not a probe/);
  });

  it("refuses families that the environment does not have", async () => {
    const settings = tinySettings();
    settings.probe = { ...settings.probe, families: ["y"] };
    const folder = await mkdtemp(join(tmpdir(), "probeward-base-"));
    await expect(runTinyStudy(folder, settings)).rejects.toThrow(UsageError);
    await expect(runTinyStudy(folder, settings)).rejects.toThrow(/"y" is no family of tiny; it has x/);
    settings.probe.families = ["x"];
    await expect(runTinyStudy(folder, settings)).resolves.toBeDefined();
  });
});

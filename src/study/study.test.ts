/** @file Studies whose runs fail: the others go on, nothing poisons a mean, and the end says what happened. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  tinyConfig,
  tinyEnvironment,
  tinyHook,
  tinyLlama,
  tinyLlamaWeights,
  tinyModel,
} from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import type { Environment } from "../environment/types.ts";
import { UsageError } from "../errors.ts";
import { initialWeights, loadAdapter, saveModel } from "../model/index.ts";
import { loadProbe } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { loadStudy, renderTable } from "../report/index.ts";
import { runFolder, summarySchema } from "../store/index.ts";
import { readSafetensors } from "../tensor/index.ts";
import { proxyReward } from "../training/index.ts";
import { runStudy } from "./study.ts";

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-study-"));
const readSummary = async (folder: string) =>
  summarySchema.parse(JSON.parse(await readFile(join(folder, "summary.json"), "utf8")));

describe("runStudy", () => {
  it("says of a run that cannot begin why it did not", async () => {
    const folder = await newFolder();
    const arms = { held: () => ({ terms: [proxyReward()], frozenThrough: tinyHook }) };
    const parts = { environment: tinyEnvironment() as Environment, model: tinyModel, arms };
    const study = runStudy(folder, tinySettings({ arms: ["none"] }), () => {}, parts);
    await expect(study).rejects.toThrow(/1 of 2 runs failed.*held, seed 1: all weights are frozen/s);
    const status = JSON.parse(await readFile(join(folder, "runs/held/seed-1/status.json"), "utf8"));
    expect(status).toMatchObject({ state: "failed", error: expect.stringMatching(/all weights are frozen/) });
  });

  it("goes on with the other runs after one that diverges, and leaves it out of every mean", async () => {
    const folder = await newFolder();
    const warnings: string[] = [];
    // Infinite as a 32-bit number.
    const settings = tinySettings({ arms: ["probe-loss", "none"], lossStrength: 1e39 });
    const running = runTinyStudy(folder, settings, (event) => {
      if (event.kind === "warning") warnings.push(event.detail);
    });
    await expect(running).rejects.toThrow(/^1 of 2 runs failed.*probe-loss, seed 1: step 0: loss is/s);
    expect(warnings).toEqual([expect.stringMatching(/^probe-loss, seed 1: the run failed: step 0/)]);

    const summary = await readSummary(folder);
    expect(Object.keys(summary.arms)).toEqual(["none"]);
    expect(summary.failed).toMatchObject([{ arm: "probe-loss", seed: 1 }]);
    expect(renderTable(summary)).toContain("Runs that failed, and are in no mean: probe-loss (seed 1).");

    const { runs, warnings: shown } = await loadStudy(folder);
    expect(runs.map(({ arm, status }) => [arm, status?.state])).toEqual([
      ["none", "done"],
      ["probe-loss", "failed"],
    ]);
    expect(await readFile(join(runFolder(folder, "probe-loss", 1), "metrics.jsonl"), "utf8")).toBe("");
    expect(shown.join()).toContain("probe-loss, seed 1: the run failed");
  });

  it("averages over the seeds that finished, and takes in the others once they are mended", async () => {
    const folder = await newFolder();
    const damaged = runFolder(folder, "none", 2);
    await mkdir(damaged, { recursive: true });
    await writeFile(join(damaged, "metrics.jsonl"), '{"step":0,"kl":0}\nnonsense\n{"step":2,"kl":0}\n');
    const settings = tinySettings({ arms: ["none"], seeds: 2 });
    await expect(runTinyStudy(folder, settings)).rejects.toThrow(
      /1 of 2 runs failed.*none, seed 2: .*seed-2\/metrics\.jsonl: line 2 is wrong.*delete the run's folder/s,
    );
    expect(await readFile(join(damaged, "metrics.jsonl"), "utf8")).toContain("nonsense");
    const partial = await readSummary(folder);
    expect(partial.arms.none!.runs.map(({ seed }) => seed)).toEqual([1]);
    expect(partial.arms.none!.mean.klEnd).toBe(partial.arms.none!.runs[0]!.klEnd);

    await rm(damaged, { recursive: true });
    const summary = await runTinyStudy(folder, settings);
    expect(summary.failed).toBeUndefined();
    expect(summary.arms.none!.runs.map(({ seed }) => seed)).toEqual([1, 2]);
  });

  it("runs the points of a grid like arms, each with the probe and the control of its point", async () => {
    const folder = await newFolder();
    const grid = { penalty: [0.5, 3], "probe.falsePositiveRate": [0.1, 0.5] };
    const settings = tinySettings({ arms: ["none", "probe-penalty"], grid });
    const summary = await runTinyStudy(folder, settings);
    expect(Object.keys(summary.arms)).toEqual([
      "none@falsePositiveRate=0.1",
      "none@falsePositiveRate=0.5",
      "probe-penalty@penalty=0.5,falsePositiveRate=0.1",
      "probe-penalty@penalty=0.5,falsePositiveRate=0.5",
      "probe-penalty@penalty=3,falsePositiveRate=0.1",
      "probe-penalty@penalty=3,falsePositiveRate=0.5",
    ]);
    expect(summary.arms["probe-penalty@penalty=3,falsePositiveRate=0.5"]).toMatchObject({
      arm: "probe-penalty",
      point: { penalty: 3, "probe.falsePositiveRate": 0.5 },
    });
    const { runs, settings: stored } = await loadStudy(folder);
    expect(runs.map(({ arm }) => arm).sort()).toEqual(Object.keys(summary.arms).sort());
    // Whoever looks on knows how much there is to do.
    expect(stored).toMatchObject({ planned: { runs: 6, steps: 6 * settings.training.steps } });
    // Done again, it reads what is there; what is recorded beside the numbers may change.
    const other = { ...settings, training: { ...settings.training, recordedRollouts: 4 } };
    expect((await runTinyStudy(folder, other)).arms).toEqual(summary.arms);
  });

  it("varies the base model: each has completions, a probe and a control of its own, and is known by its weights", async () => {
    const folder = await newFolder();
    const models = await newFolder();
    const save = (name: string, seed: string) =>
      saveModel(join(models, name), {
        config: tinyConfig,
        weights: initialWeights(tinyConfig, randomFor(seed)),
      });
    await save("a", "one");
    await save("b", "another");
    const grid = { model: [join(models, "a"), join(models, "b")], penalty: [3] };
    const settings = tinySettings({ arms: ["none", "probe-penalty"], grid });
    const run = (of = settings) =>
      runStudy(folder, of, () => {}, { environment: tinyEnvironment() as Environment });
    const summary = await run();
    expect(Object.keys(summary.arms)).toEqual([
      "none@model=a",
      "none@model=b",
      "probe-penalty@model=a,penalty=3",
      "probe-penalty@model=b,penalty=3",
    ]);
    const probes = ["a", "b"].map((name) => loadProbe(join(folder, `bases/model=${name}/probes/initial`)));
    const [a, b] = await Promise.all(probes);
    expect(a!.weight_D).not.toEqual(b!.weight_D);
    const [start] = summary.arms["none@model=b"]!.runs;
    // As a study of that model alone has it.
    const alone = await runStudy(
      await newFolder(),
      tinySettings({ arms: ["none"], model: grid.model[1]! }),
      () => {},
      { environment: tinyEnvironment() as Environment },
    );
    expect(alone.arms.none!.runs[0]).toEqual(start);
    await save("c", "a third");
    const more = { ...grid, model: [...grid.model, join(models, "c")] };
    expect(Object.keys((await run({ ...settings, grid: more })).arms)).toHaveLength(6);
    await save("b", "no more what it was");
    await expect(run()).rejects.toThrow(/another base model b than that of grid\.model/);
  });

  it("goes on with a study of a version that did not know some settings, where they have their defaults", async () => {
    const folder = await newFolder();
    const settings = tinySettings({ arms: ["none"] });
    const summary = await runTinyStudy(folder, settings);
    const path = join(folder, "study.json");
    const document = JSON.parse(await readFile(path, "utf8"));
    delete document.settings.penaltyShape;
    delete document.settings.probe.pool;
    await writeFile(path, JSON.stringify(document));
    expect((await runTinyStudy(folder, settings)).arms).toEqual(summary.arms);
    await writeFile(path, JSON.stringify(document));
    await expect(runTinyStudy(folder, { ...settings, penaltyShape: "linear" })).rejects.toThrow(
      /penaltyShape "threshold" -> "linear"/,
    );
  });

  it("trains adapters of a loaded model, and saves them in PEFT's format", async () => {
    const folder = await newFolder();
    const adapter = { rank: 2, alpha: 4, targets: ["q_proj", "down_proj"] };
    const model = { config: tinyLlama, weights: tinyLlamaWeights() };
    const settings = tinySettings({ adapter, model: "tiny/llama", arms: ["none", "probe-penalty-frozen"] });
    const summary = await runTinyStudy(folder, settings, undefined, { model });
    expect(Object.keys(summary.arms)).toEqual(settings.arms);
    const run = runFolder(folder, "none", 1);
    const saved = await loadAdapter(join(run, "adapter"), tinyLlama);
    expect(saved.config.adapter).toEqual(adapter);
    expect(saved.weights["model.layers.0.mlp.down_proj.lora_B.weight"]!.data.some((x) => x !== 0)).toBe(true);
    const checkpoint = await readSafetensors(join(run, "checkpoints", "step-000006", "model.safetensors"));
    expect(checkpoint.tensors).toEqual(saved.weights);
    const about = JSON.parse(await readFile(join(run, "adapter", "adapter_config.json"), "utf8"));
    expect(about.base_model_name_or_path).toBe("tiny/llama");

    const other = { ...settings, adapter: { ...adapter, targets: ["c_attn"] } };
    const refused = runTinyStudy(await newFolder(), other, undefined, { model });
    await expect(refused).rejects.toThrow(UsageError);
    await expect(refused).rejects.toThrow(/tiny\/llama: adapter: there is no projection c_attn.*q_proj/);
    // The embedded model is a decoder, too, where an adapter is wanted.
    const embedded = await newFolder();
    await runTinyStudy(embedded, settings);
    const own = await readSafetensors(
      join(runFolder(embedded, "none", 1), "checkpoints", "step-000006", "model.safetensors"),
    );
    expect(Object.keys(own.tensors).sort()).toEqual(Object.keys(saved.weights).sort());
  });

  it("says so where no run could be finished, and writes no summary", async () => {
    const folder = await newFolder();
    const settings = tinySettings({ arms: ["probe-loss"], lossStrength: 1e39 });
    await expect(runTinyStudy(folder, settings)).rejects.toThrow(/^1 of 1 runs failed/);
    await expect(readSummary(folder)).rejects.toThrow("ENOENT");
  });

  it("chooses among reads at the environment's follow-up, and keeps it with the probe", async () => {
    const folder = await newFolder();
    const probe = { ...tinySettings().probe, positions: ["follow-up" as const] };
    // Those that read on either model, in the loss, with an ablated model, and on the policy as it is later.
    const arms = ["none", "probe-penalty-frozen", "probe-total", "ablation", "probe-penalty-refit"] as const;
    const settings = tinySettings({ probe, arms: [...arms] });
    const environment = { ...tinyEnvironment(), followUp: "b?" } as Environment;
    const summary = await runTinyStudy(folder, settings, undefined, { environment });
    expect(summary.base).toMatchObject({ positions: "follow-up", followUp: "b?" });
    expect(summarySchema.parse(summary)).toEqual(summary);
    const { tap } = await loadProbe(join(folder, "probes", "initial"));
    expect(tap).toMatchObject({ positions: "follow-up", followUp: "b?" });
    expect(Object.keys(summary.arms)).toEqual([...arms]);
  });

  it("refuses to read at a follow-up that is not there, or that the model has no room for", async () => {
    const settings = tinySettings({ probe: { ...tinySettings().probe, positions: ["follow-up"] } });
    const run = async (environment?: Environment) =>
      runTinyStudy(await newFolder(), settings, undefined, { environment });
    await expect(run()).rejects.toThrow(/^probe\.positions: the environment tiny has no follow-up/);
    const long = { ...tinyEnvironment(), followUp: "abcabcabc?" } as Environment;
    await expect(run(long)).rejects.toThrow(/the model reads 16 tokens.*may need 17/);
  });

  it("passes on what a run warns of, also when it is done already", async () => {
    const folder = await newFolder();
    // Completions that never end. Signs are looked for once there are ten steps.
    const training = { ...tinySettings().training, steps: 11, learningRate: 1e-9, temperature: 0.003 };
    const warningsOf = async () => {
      const warnings: string[] = [];
      await runTinyStudy(folder, tinySettings({ arms: ["none"], training }), (event) => {
        if (event.kind === "warning") warnings.push(event.detail);
      });
      return warnings;
    };
    const first = await warningsOf();
    expect(first.join("\n")).toMatch(/none, seed 1: step 9: most completions do not end/);
    expect(await warningsOf()).toEqual(first);
    const { runs } = await loadStudy(folder);
    expect(runs[0]!.status!.warnings!.map((warning) => `none, seed 1: ${warning}`)).toEqual(first);
  });
});

/** @file A study from its settings to its summary and report: the base model, then every arm and seed. */

import { mkdir, readFile } from "node:fs/promises";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { createEnvironment } from "../environment/index.ts";
import { CharacterTokenizer, loadModel } from "../model/index.ts";
import { loadStudy, type Summary, writeReport } from "../report/index.ts";
import type { StepMetrics } from "../training/index.ts";
import { arms } from "./arms.ts";
import { prepareBase } from "./base.ts";
import type { OnEvent } from "./events.ts";
import { readJson, writeJson } from "./files.ts";
import { lockStudy } from "./lock.ts";
import { shippedModel } from "./model.ts";
import { runFolder, runToEnd } from "./run.ts";
import { type StudySettings, UsageError } from "./settings.ts";
import { summarize } from "./summary.ts";

/** Version of the documents in a study's folder. */
const VERSION = 1;

/**
 * Runs what is not done yet of a study in a folder, then writes `summary.json` and `report.html`.
 *
 * @throws UsageError where the folder holds another study, or another process works in it.
 */
export async function runStudy(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent = () => {},
): Promise<Summary> {
  const started = Date.now();
  await mkdir(folder, { recursive: true });
  const unlock = await lockStudy(folder);
  const environment = createEnvironment(settings.environment);
  try {
    const earlier = await claimFolder(folder, settings);
    const model = await loadModel(settings.model ?? shippedModel(settings.environment));
    const tokenizer = new CharacterTokenizer(model.config.alphabet);
    checkAlphabet(environment.alphabet, model.config.alphabet, settings);

    onEvent({ kind: "stage", detail: "Asking the base model, and fitting a probe on what it did" });
    const base = await prepareBase(folder, { environment, model, tokenizer, settings });
    const { probeAuroc, textBaselineAuroc, hook, positions } = base.summary;
    const shown = (value: number | null) => (value === null ? "undefined" : value.toFixed(3));
    onEvent({
      kind: "stage",
      detail: `Probe at ${hook}, ${positions}: AUROC ${shown(probeAuroc)} (text alone ${shown(textBaselineAuroc)})`,
    });

    const seeds = Array.from({ length: settings.seeds }, (_, i) => settings.firstSeed + i);
    const total = settings.arms.length * seeds.length * settings.training.steps;
    const runs: { arm: (typeof settings.arms)[number]; seed: number; metrics: StepMetrics[] }[] = [];
    for (const seed of seeds) {
      for (const arm of settings.arms) {
        const { penalty, lossStrength, training } = settings;
        const before = runs.length * training.steps;
        const metrics = await runToEnd(
          runFolder(folder, arm, seed),
          {
            ...{ environment, tokenizer, seed, settings: training },
            config: model.config,
            reference: model.weights,
            arm: arms[arm]({ probe: base.probe, penalty, lossStrength }),
            probe: base.probe,
            tracer: base.tracer,
          },
          (line) =>
            onEvent({
              kind: "step",
              arm,
              seed,
              steps: training.steps,
              metrics: line,
              done: before + line.step + 1,
              total,
            }),
        );
        runs.push({ arm, seed, metrics });
      }
    }

    const summary = summarize({
      settings,
      base,
      runs,
      seconds: earlier + (Date.now() - started) / 1000,
      machine: machine(),
    });
    await writeJson(join(folder, "summary.json"), summary);
    await writeReport(join(folder, "report.html"), await loadStudy(folder));
    return summary;
  } finally {
    await environment.close();
    await unlock();
  }
}

/**
 * Makes the folder this study's. One that has the same settings is gone on with; it may get more arms and seeds.
 *
 * @returns the seconds that were spent on it before
 */
async function claimFolder(folder: string, settings: StudySettings): Promise<number> {
  const path = join(folder, "study.json");
  const { arms: _, seeds: __, firstSeed: ___, ...fixed } = settings;
  const stored = (await readJson(path)) as { version: number; settings: StudySettings } | undefined;
  if (stored !== undefined) {
    if (stored.version > VERSION)
      throw new UsageError(
        `${path}: was written by a newer version of probeward; update it, or give another --out.`,
      );
    for (const [name, value] of Object.entries(fixed)) {
      const before = stored.settings[name as keyof StudySettings];
      if (!isDeepStrictEqual(before, value))
        throw new UsageError(
          `${folder} holds a study with other settings: ${name} was ${JSON.stringify(before)}, now it is ${JSON.stringify(value)}. Give another --out, or delete the folder.`,
        );
    }
  }
  await writeJson(path, {
    version: VERSION,
    environment: settings.environment,
    settings,
    machine: machine(),
    versions: await versions(),
  });
  const summary = (await readJson(join(folder, "summary.json"))) as Summary | undefined;
  return summary?.seconds ?? 0;
}

function checkAlphabet(wanted: string, has: string, settings: StudySettings): void {
  const missing = [...wanted].filter((character) => !has.includes(character));
  if (missing.length > 0)
    throw new UsageError(
      `the model ${settings.model} cannot write ${JSON.stringify(missing.join(""))}, which the environment ${settings.environment} needs; pretrain one for it`,
    );
}

/** Versions of this program and of what computes. */
async function versions(): Promise<Record<string, string>> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  const { version, dependencies } = JSON.parse(text) as {
    version: string;
    dependencies: Record<string, string>;
  };
  const computing = ["onnxruntime-node", "@jax-js/jax", "quickjs-wasi"];
  return {
    probeward: version,
    node: process.versions.node,
    ...Object.fromEntries(computing.map((name) => [name, dependencies[name]!])),
  };
}

function machine(): Summary["machine"] {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryGB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    platform: `${platform()} ${release()}`,
  };
}

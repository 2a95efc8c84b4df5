/** @file A study from its settings to its summary and report: the base model, then every arm and seed. */

import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { createEnvironment, type Environment } from "../environment/index.ts";
import { CharacterTokenizer, loadModel, type Model } from "../model/index.ts";
import { loadStudy, type Summary, writeReport } from "../report/index.ts";
import { arms } from "./arms.ts";
import { prepareBase } from "./base.ts";
import type { OnEvent } from "./events.ts";
import { FileError, readDocument, writeJson } from "./files.ts";
import { lockStudy } from "./lock.ts";
import { shippedModel } from "./model.ts";
import { runFolder, runToEnd } from "./run.ts";
import { type StudySettings, UsageError } from "./settings.ts";
import { type FailedRun, type FinishedRun, summarize } from "./summary.ts";

/** Version of the documents in a study's folder. */
const VERSION = 1;

/** What has to be known of a `study.json`, of whatever version. */
export const studyDocumentSchema = z.object({
  version: z.int(),
  settings: z.record(z.string(), z.unknown()),
});

/** What a study works on, where it is not what the settings name. */
export interface StudyParts {
  environment?: Environment;
  model?: Model;
}

/**
 * Runs what is not done yet of a study in a folder, then writes `summary.json` and `report.html`.
 *
 * A run that fails does not stop the others: it is left out of every mean, and reported at the end.
 *
 * @throws UsageError where the folder holds another study, or another process works in it
 * @throws FileError where a file cannot be read or written
 * @throws Error that names the runs that failed, and why, after all that could be done was
 */
export async function runStudy(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent = () => {},
  parts: StudyParts = {},
): Promise<Summary> {
  const started = Date.now();
  const unlock = await lockStudy(folder);
  const environment = parts.environment ?? createEnvironment(settings.environment);
  try {
    const earlier = await claimFolder(folder, settings);
    const model = parts.model ?? (await loadModel(settings.model ?? shippedModel(settings.environment)));
    const { tokenizer } = model;
    if (tokenizer instanceof CharacterTokenizer)
      checkAlphabet(environment.alphabet, tokenizer.alphabet, settings);

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
    const runs: FinishedRun[] = [];
    const failed: FailedRun[] = [];
    for (const seed of seeds) {
      for (const arm of settings.arms) {
        const { penalty, lossStrength, training } = settings;
        const before = (runs.length + failed.length) * training.steps;
        const context = {
          ...{ environment, tokenizer, seed, settings: training },
          config: model.config,
          reference: model.weights,
          arm: arms[arm]({ probe: base.probe, penalty, lossStrength }),
          probe: base.probe,
          tracer: base.tracer,
        };
        const warn = (detail: string) =>
          onEvent({ kind: "warning", detail: `${arm}, seed ${seed}: ${detail}` });
        try {
          const metrics = await runToEnd(runFolder(folder, arm, seed), context, {
            onWarning: warn,
            onStep: (line) =>
              onEvent({
                ...{ kind: "step", arm, seed, total, metrics: line },
                steps: training.steps,
                done: before + line.step + 1,
              }),
          });
          runs.push({ arm, seed, metrics });
        } catch (error) {
          // What ails a disk ails every run; anything else is this run's own.
          if (error instanceof FileError) throw error;
          warn(`the run failed: ${(error as Error).message}`);
          failed.push({ arm, seed, error: (error as Error).message });
        }
      }
    }

    if (runs.length === 0) throw new Error(failureOf(failed, 0));
    const summary = summarize({
      settings,
      base,
      runs,
      failed,
      seconds: earlier + (Date.now() - started) / 1000,
      machine: machine(),
    });
    await writeJson(join(folder, "summary.json"), summary);
    await writeReport(join(folder, "report.html"), await loadStudy(folder));
    if (failed.length > 0) throw new Error(failureOf(failed, runs.length));
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
  const stored = await readDocument(path, studyDocumentSchema);
  if (stored !== undefined) {
    if (stored.version > VERSION)
      throw new UsageError(
        `${path}: was written by a newer version of probeward; update it, or give another --out.`,
      );
    for (const [name, value] of Object.entries(fixed)) {
      const before = stored.settings[name];
      if (!isDeepStrictEqual(before, value))
        throw new UsageError(
          `${folder} holds a study with other settings: ${name} was ${JSON.stringify(before)}, now it is ${JSON.stringify(value)}. Give another --out, or delete the folder.`,
        );
    }
  }
  const earlier = await readDocument(join(folder, "summary.json"), z.object({ seconds: z.number() }));
  await writeJson(path, {
    version: VERSION,
    environment: settings.environment,
    settings,
    machine: machine(),
    versions: await versions(),
  });
  return earlier?.seconds ?? 0;
}

function failureOf(failed: readonly FailedRun[], finished: number): string {
  const lines = failed.map(({ arm, seed, error }) => `  ${arm}, seed ${seed}: ${error}`);
  return `${failed.length} of ${failed.length + finished} runs failed, and are in no mean of the summary:\n${lines.join("\n")}`;
}

function checkAlphabet(wanted: string, has: string, settings: StudySettings): void {
  const missing = [...wanted].filter((character) => !has.includes(character));
  if (missing.length > 0)
    throw new UsageError(
      `the model ${settings.model ?? shippedModel(settings.environment)} cannot write ${JSON.stringify(missing.join(""))}, which the environment ${settings.environment} needs; pretrain one for it`,
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

/** @file A study from its settings to its summary and report: the base model, then every arm and seed. */

import { access, readFile } from "node:fs/promises";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { Environment } from "../environment/index.ts";
import { loadEnvironment } from "../environment/load.ts";
import { FileError, readDocument, writeJson } from "../files.ts";
import {
  CharacterTokenizer,
  loadModel,
  type Model,
  ProgramStore,
  weightsSha256,
  withAdapter,
} from "../model/index.ts";
import { textScorer } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { loadStudy, type Summary, writeReport } from "../report/index.ts";
import { textMonitor } from "../training/index.ts";
import { arms } from "./arms.ts";
import { type Base, prepareBase } from "./base.ts";
import { type BaseContext, createOnce } from "./completions.ts";
import type { OnEvent } from "./events.ts";
import { expand, type PlannedRun, pointName } from "./expand.ts";
import { penaltyWarning } from "./foresee.ts";
import { informedBy } from "./inform.ts";
import { lockStudy } from "./lock.ts";
import { shippedModel } from "./model.ts";
import { runFolder, runToEnd } from "./run.ts";
import { type StudySettings, studySchema, UsageError } from "./settings.ts";
import { type FailedRun, type FinishedRun, summarize } from "./summary.ts";

/** Version of the documents in a study's folder. */
const VERSION = 1;

/** What has to be known of a `study.json`, of whatever version. */
export const studyDocumentSchema = z.object({
  version: z.int().min(1),
  settings: z.record(z.string(), z.unknown()),
  modelSha256: z.string().optional(),
  machine: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  versions: z.record(z.string(), z.string()).optional(),
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
  const programs = new ProgramStore();
  const environment = parts.environment ?? (await loadEnvironment(settings.environment));
  let unlock = async () => {};
  try {
    checkEnvironment(environment, settings);
    unlock = await lockStudy(folder);
    const model = parts.model ?? (await loadBaseModel(settings));
    const { tokenizer } = model;
    checkModel(model, environment, settings);
    const { earlier, changes } = await claimFolder(folder, settings, environment.name, model);
    if (changes.length > 0)
      onEvent({
        kind: "warning",
        detail: `this study was begun on something else, so that what is left of it may not repeat exactly: ${changes.join("; ")}`,
      });

    const bases = createBases(folder, { environment, model, tokenizer, programs }, onEvent);
    const table = expand(settings);
    const total = table.reduce((sum, run) => sum + run.settings.training.steps, 0);
    const runs: FinishedRun[] = [];
    const failed: FailedRun[] = [];
    let done = 0;
    for (const planned of table) {
      const { id, arm, seed, settings } = planned;
      const { training } = settings;
      const base = await bases(planned);
      const context = {
        ...{ environment: informedBy(environment, base.answers), tokenizer, seed, settings: training },
        config: model.config,
        ...{ reference: model.weights, adapter: settings.adapter, modelName: settings.model },
        arm: arms[arm].make({
          ...settings,
          probe: base.probe,
          text: textMonitor(textScorer(base.text.classifier), base.text.threshold),
          sets: base.sets,
          random: randomFor(seed, "arm", arm),
        }),
        probe: base.probe,
        heldOutProbes: base.heldOutProbes,
        tracer: base.tracer,
        programs,
      };
      const before = done;
      done += training.steps;
      const warn = (detail: string) => onEvent({ kind: "warning", detail: `${id}, seed ${seed}: ${detail}` });
      const foreseen = penaltyWarning(planned, base);
      if (foreseen && seed === settings.firstSeed) warn(foreseen);
      try {
        const metrics = await runToEnd(runFolder(folder, id, seed), context, {
          onWarning: warn,
          onStep: (line) =>
            onEvent({
              ...{ kind: "step", arm: id, seed, total, metrics: line },
              steps: training.steps,
              done: before + line.step + 1,
            }),
        });
        runs.push({ planned, base, metrics });
      } catch (error) {
        // What ails a disk ails every run; anything else is this run's own.
        if (error instanceof FileError) throw error;
        warn(`the run failed: ${(error as Error).message}`);
        failed.push({ arm: id, seed, error: (error as Error).message });
      }
    }

    if (runs.length === 0) throw new Error(failureOf(failed, 0));
    const summary = summarize({
      settings,
      environment: environment.name,
      base: await bases(table[0]!),
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
    await programs.close();
    await unlock();
  }
}

/**
 * What runs start from: prepared at the first call, once for all runs with the same probe. Where a grid varies the
 * probe, each has a folder of its own.
 */
function createBases(folder: string, context: Omit<BaseContext, "settings" | "once">, onEvent: OnEvent) {
  const once = createOnce();
  const prepared = new Map<string, Base>();
  return async ({ point, settings }: PlannedRun): Promise<Base> => {
    const own = Object.entries(point).filter(
      ([path]) => path.startsWith("probe.") || path === "training.temperature",
    );
    const name = pointName(Object.fromEntries(own));
    const known = prepared.get(name);
    if (known) return known;
    onEvent({
      kind: "stage",
      detail: `Asking the base model, and fitting a probe on what it did${name && ` (${name})`}`,
    });
    const base = await prepareBase(name ? join(folder, "bases", name) : folder, {
      ...context,
      once,
      settings,
    });
    const { probeAuroc, textBaselineAuroc, hook, positions } = base.summary;
    const shown = (value: number | null) => (value === null ? "undefined" : value.toFixed(3));
    onEvent({
      kind: "stage",
      detail: `Probe at ${hook}, ${positions}: AUROC ${shown(probeAuroc)} (text alone ${shown(textBaselineAuroc)})`,
    });
    prepared.set(name, base);
    return base;
  };
}

/**
 * Makes the folder this study's. One that has the same settings is gone on with; it may get more arms, seeds and grid points.
 *
 * @returns the seconds that were spent on it before, and what has changed of the machine and of what computes
 */
async function claimFolder(
  folder: string,
  settings: StudySettings,
  environment: string,
  model: Model,
): Promise<{ earlier: number; changes: string[] }> {
  const path = join(folder, "study.json");
  const { arms: _, seeds: __, firstSeed: ___, grid: ____, ...fixed } = settings;
  const stored = await readDocument(path, studyDocumentSchema);
  const now = {
    version: VERSION,
    environment,
    settings,
    /** Of the base model's weights: a study is never gone on with on other ones. */
    modelSha256: weightsSha256(model.weights),
    machine: machine(),
    versions: await versions(),
  };
  if (stored !== undefined) {
    if (stored.version > VERSION)
      throw new UsageError(
        `${path}: was written by a newer version of probeward; update it, or give another --out.`,
      );
    // Settings that an earlier version did not know had the values that are their defaults now.
    const begun: Record<string, unknown> = studySchema.safeParse(stored.settings).data ?? stored.settings;
    for (const [name, value] of Object.entries(fixed)) {
      const before = begun[name];
      if (!isDeepStrictEqual(before, value))
        throw new UsageError(
          `${folder} holds a study with other settings: ${name} was ${JSON.stringify(before)}, now it is ${JSON.stringify(value)}. Give another --out, or delete the folder.`,
        );
    }
    if (stored.modelSha256 !== undefined && stored.modelSha256 !== now.modelSha256)
      throw new UsageError(
        `${folder} holds a study of another base model than ${settings.model ?? shippedModel(settings.environment)} is now. Put the old model back, give another --out, or delete the folder.`,
      );
  }
  const earlier = await readDocument(join(folder, "summary.json"), z.object({ seconds: z.number() }));
  await writeJson(path, now);
  const changes = (["machine", "versions"] as const).flatMap((part) =>
    Object.entries(now[part]).flatMap(([name, value]) => {
      const before = stored?.[part]?.[name];
      return before === undefined || before === value ? [] : [`${name} was ${before}, and is ${value}`];
    }),
  );
  return { earlier: earlier?.seconds ?? 0, changes };
}

/** @throws UsageError where the environment has no base model yet */
async function loadBaseModel({ model, environment }: StudySettings): Promise<Model> {
  const folder = model ?? shippedModel(environment);
  if (model === undefined)
    await access(folder).catch(() => {
      throw new UsageError(
        `${environment} has no base model yet. Make it with: probeward pretrain ${environment}`,
      );
    });
  return loadModel(folder);
}

function failureOf(failed: readonly FailedRun[], finished: number): string {
  const lines = failed.map(({ arm, seed, error }) => `  ${arm}, seed ${seed}: ${error}`);
  return `${failed.length} of ${failed.length + finished} runs failed, and are in no mean of the summary:\n${lines.join("\n")}`;
}

/** @throws UsageError where the settings ask for what the environment does not have */
function checkEnvironment(environment: Environment, settings: StudySettings): void {
  if (settings.arms.includes("inoculation") && !environment.inoculate)
    throw new UsageError(
      `the arm inoculation does not apply to the environment ${environment.name}, which has no inoculation prompt that its base model knows; leave it out of arms`,
    );
  for (const { settings: own } of expand(settings))
    for (const family of own.probe.families ?? [])
      if (!environment.families.includes(family))
        throw new UsageError(
          `probe.families: ${JSON.stringify(family)} is no family of ${environment.name}; it has ${environment.families.join(", ")}`,
        );
}

/** @throws UsageError where a model cannot write what an environment needs, or takes no such adapter */
function checkModel({ config, tokenizer }: Model, environment: Environment, settings: StudySettings): void {
  const name = `the model ${settings.model ?? shippedModel(settings.environment)}`;
  const remedy = `which the environment ${settings.environment} needs; pretrain one for it`;
  if (tokenizer instanceof CharacterTokenizer) {
    const missing = [...environment.alphabet].filter((one) => !tokenizer.alphabet.includes(one));
    if (missing.length > 0)
      throw new UsageError(`${name} cannot write ${JSON.stringify(missing.join(""))}, ${remedy}`);
  }
  const needed = environment.maxPromptLength + environment.maxCompletionLength + 1;
  if (config.context < needed)
    throw new UsageError(`${name} reads ${config.context} tokens, and not the ${needed} ${remedy}`);
  try {
    if (settings.adapter) withAdapter(config, settings.adapter);
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
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

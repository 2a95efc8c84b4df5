/** @file A study from its settings to its summary and report: the base model, then every arm and seed. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { FileError, readDocument, writeJson } from "../files.ts";
import type { Model } from "../model/index.ts";
import { loadStudy, type Summary, writeReport } from "../report/index.ts";
import { encodeSafetensors } from "../tensor/index.ts";
import { followRuns, type OnEvent } from "./events.ts";
import { penaltyWarning } from "./foresee.ts";
import { lockFolder } from "./lock.ts";
import { shippedModel } from "./model.ts";
import { readRun, runFolder } from "./run.ts";
import { type StudySettings, studySchema, UsageError } from "./settings.ts";
import { type FailedRun, type FinishedRun, summarize } from "./summary.ts";
import { openWork, type StudyParts, type Work } from "./work.ts";

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

/** Trains what is not done yet of a study's runs, each to its end or its failure, which is in its `status.json`. */
export type Conduct = (work: Work, onEvent: OnEvent) => Promise<void>;

/**
 * Runs what is not done yet of a study in a folder, then writes `summary.json` and `report.html`.
 *
 * A run that fails does not stop the others: it is left out of every mean, and reported at the end.
 *
 * @param conduct where runs are trained: in this process, one after the other, unless given
 * @throws UsageError where the folder holds another study, or another process works in it
 * @throws FileError where a file cannot be read or written
 * @throws Error that names the runs that failed, and why, after all that could be done was
 */
export async function runStudy(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent = () => {},
  parts: StudyParts = {},
  conduct: Conduct = inThisProcess,
): Promise<Summary> {
  const started = Date.now();
  return inStudy(folder, settings, onEvent, parts, async (work) => {
    const earlier = await claim(work, onEvent);
    await prepare(work, onEvent);
    await conduct(work, onEvent);
    return conclude(work, earlier + (Date.now() - started) / 1000);
  });
}

/** Does something with a study's folder to itself. */
async function inStudy<T>(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent,
  parts: StudyParts,
  action: (work: Work) => Promise<T>,
): Promise<T> {
  const unlock = await lockFolder(folder);
  try {
    const work = await openWork(folder, settings, onEvent, parts);
    try {
      return await action(work);
    } finally {
      await work.close();
    }
  } finally {
    await unlock();
  }
}

/** Makes the folder this study's. @returns the seconds that were spent on it before */
async function claim({ folder, settings, environment, model }: Work, onEvent: OnEvent): Promise<number> {
  const { earlier, changes } = await claimFolder(folder, settings, environment, model);
  if (changes.length > 0)
    onEvent({
      kind: "warning",
      detail: `this study was begun on something else, so that what is left of it may not repeat exactly: ${changes.join("; ")}`,
    });
  return earlier;
}

async function prepare(work: Work, onEvent: OnEvent): Promise<void> {
  for (const planned of work.table) {
    const foreseen = penaltyWarning(planned, await work.base(planned));
    if (foreseen && planned.seed === work.table[0]!.seed)
      onEvent({ kind: "warning", detail: `${planned.id}, seed ${planned.seed}: ${foreseen}` });
  }
}

const inThisProcess: Conduct = async (work, onEvent) => {
  const follow = followRuns(work.table, onEvent);
  for (const planned of work.table) {
    const { onStep, onWarning, onEnd } = follow(planned);
    await work.train(planned, { onStep, onWarning }).catch((error: Error) => {
      // What ails a disk ails every run; anything else is this run's own.
      if (error instanceof FileError) throw error;
      onWarning(`the run failed: ${error.message}`);
    });
    onEnd();
  }
};

/** Writes the summary and the report of what was done. @throws Error that names the runs that have not finished */
async function conclude(work: Work, seconds: number): Promise<Summary> {
  const { folder, settings, table } = work;
  const runs: FinishedRun[] = [];
  const failed: FailedRun[] = [];
  for (const planned of table) {
    const { id, seed } = planned;
    const run = await readRun(runFolder(folder, id, seed), planned.settings.training.steps);
    if ("metrics" in run) runs.push({ planned, base: await work.base(planned), metrics: run.metrics });
    else failed.push({ arm: id, seed, error: run.error });
  }
  if (runs.length === 0) throw new Error(failureOf(failed, 0));
  const summary = summarize({
    ...{ settings, runs, failed, seconds },
    environment: work.environment,
    base: await work.base(table[0]!),
    machine: machine(),
  });
  await writeJson(join(folder, "summary.json"), summary);
  await writeReport(join(folder, "report.html"), await loadStudy(folder));
  if (failed.length > 0) throw new Error(failureOf(failed, runs.length));
  return summary;
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
    modelSha256: createHash("sha256").update(encodeSafetensors(model.weights)).digest("hex"),
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

function failureOf(failed: readonly FailedRun[], finished: number): string {
  const lines = failed.map(({ arm, seed, error }) => `  ${arm}, seed ${seed}: ${error}`);
  return `${failed.length} of ${failed.length + finished} runs failed, and are in no mean of the summary:\n${lines.join("\n")}`;
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

/** @file A study from its settings to its summary and report: the base model, then every arm and seed. */

import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { loadStudy, type Summary, writeReport } from "../report/index.ts";
import { followRuns, type OnEvent } from "./events.ts";
import { FileError, readDocument, writeJson } from "./files.ts";
import { penaltyWarning } from "./foresee.ts";
import { lockFolder } from "./lock.ts";
import { type RunListener, readRun, runFolder } from "./run.ts";
import { type StudySettings, UsageError } from "./settings.ts";
import { type FailedRun, type FinishedRun, summarize } from "./summary.ts";
import { openWork, type RunName, type StudyParts, type Work } from "./work.ts";

/** Version of the documents in a study's folder. */
const VERSION = 1;

/** What has to be known of a `study.json`, of whatever version. */
export const studyDocumentSchema = z.object({
  version: z.int(),
  settings: z.record(z.string(), z.unknown()),
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
    const earlier = await claimFolder(folder, settings, work.environment);
    await prepare(work, onEvent);
    await conduct(work, onEvent);
    return conclude(work, earlier + (Date.now() - started) / 1000);
  });
}

/**
 * The first part of a study whose runs are trained elsewhere: makes the folder this study's, and prepares what its runs
 * start from.
 *
 * @throws as `runStudy`
 */
export async function prepareStudy(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent = () => {},
): Promise<void> {
  await inStudy(folder, settings, onEvent, {}, async (work) => {
    await claimFolder(folder, settings, work.environment);
    await prepare(work, onEvent);
  });
}

/**
 * The second part, once for each run: trains it in this process, to its end or until `signal` is aborted. Writes in the run's
 * folder only.
 *
 * @throws StoppedError where it was asked to stop
 * @throws UsageError where the study has no such run, is not prepared, or another process trains it
 */
export async function trainRun(
  folder: string,
  { id, seed }: RunName,
  listener: RunListener = {},
): Promise<void> {
  const settings = await storedSettings(folder);
  const work = await openWork(folder, settings, () => {}, {}, "stored bases only");
  try {
    const planned = work.table.find((run) => run.id === id && run.seed === seed);
    if (!planned) throw new UsageError(`${folder}: the study has no run ${id}, seed ${seed}`);
    await work.train(planned, listener);
  } finally {
    await work.close();
  }
}

/**
 * The last part: writes `summary.json` and `report.html` from what the runs left.
 *
 * @param seconds that the study took
 * @throws as `runStudy`
 */
export async function concludeStudy(folder: string, seconds: number): Promise<Summary> {
  return inStudy(
    folder,
    await storedSettings(folder),
    () => {},
    {},
    (work) => conclude(work, seconds),
  );
}

/** The settings of the study in a folder. @throws UsageError where there is none */
export async function storedSettings(folder: string): Promise<StudySettings> {
  const stored = await readDocument(join(folder, "study.json"), studyDocumentSchema);
  if (!stored) throw new UsageError(`${folder} holds no study: it has no study.json.`);
  return stored.settings as StudySettings;
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
 * @returns the seconds that were spent on it before
 */
async function claimFolder(folder: string, settings: StudySettings, environment: string): Promise<number> {
  const path = join(folder, "study.json");
  const { arms: _, seeds: __, firstSeed: ___, grid: ____, slurm: _____, ...fixed } = settings;
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
    environment,
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

/** @file A study from its settings to its summary and report: prepared, its runs trained, concluded. */

import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { LostError, StoppedError, UsageError } from "../errors.ts";
import { FileError, readDocument, writeJson } from "../files.ts";
import { baseProblems, chargesOf, isWatchedAlike, penaltyWarning } from "../prepare/index.ts";
import { loadStudy, writeReport } from "../report/index.ts";
import { lockFolder, lockWhenFree, runFolder, runName, type Summary, summarySchema } from "../store/index.ts";
import { claim, claimed, machine, requireUnchanged } from "./claim.ts";
import { workloadInWords, workloadOf } from "./estimate.ts";
import { followRuns, type OnEvent, type Writing } from "./events.ts";
import type { PlannedRun } from "./expand.ts";
import { foretell, readForecasts } from "./forecasts.ts";
import { type RunListener, readRun } from "./run.ts";
import type { StudySettings } from "./settings.ts";
import { finishedBefore, readSittings, statusesIn } from "./sittings.ts";
import { type FailedRun, type FinishedRun, summarize } from "./summary.ts";
import { isPrepared, openWork, type StudyParts, type Work } from "./work.ts";

/**
 * Trains what is not done yet of a study's runs, each to its end or its failure, which is in its `status.json`.
 *
 * @param signal once it is aborted, runs keep the step that they are in, and no other is begun
 * @throws StoppedError, FileError, LostError
 */
export type TrainRuns = (work: Work, onEvent: OnEvent, signal?: AbortSignal) => Promise<void>;

/** How a study's runs are trained. */
export interface StudyOptions {
  /** Where. */
  conduct?: TrainRuns;
  /** What stops them. */
  signal?: AbortSignal;
  /** Told what policies write, token by token, of a few completions of each step. It changes no number. */
  onWriting?: (writing: Writing) => void;
}

/**
 * Runs what is not done yet of a study in a folder, then writes `summary.json` and `report.html`.
 *
 * A run that fails does not stop the others: it is left out of every mean, and reported at the end.
 *
 * @param folder is made where it is not there; what is in it is gone on with
 * @param onEvent told of stages, of every step of every run, and of warnings
 * @param parts what it works on, where that is not what the settings name, or more
 * @param options where runs are trained: in this process, one after the other, unless given; what stops them; and who is
 *   told what policies write while they do, of runs that are trained in this process
 * @throws UsageError where the folder holds another study, or another process works in it
 * @throws FileError where a file cannot be read or written
 * @throws StoppedError where it was asked to stop while runs were trained
 * @throws Error that names the runs that failed, and why, after all that could be done was
 */
export async function runStudy(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent = () => {},
  parts: StudyParts = {},
  { conduct, signal, onWriting }: StudyOptions = {},
): Promise<Summary> {
  const started = performance.now();
  return withStudy(folder, settings, onEvent, parts, async (work, earlier) => {
    onEvent({ kind: "stage", detail: workloadInWords(workloadOf(work)) });
    await prepare(work, onEvent);
    onEvent({ kind: "stage", detail: "Training what has not been trained yet" });
    await (conduct ?? inThisProcess(onWriting))(work, onEvent, signal);
    return conclude(work, earlier + (performance.now() - started) / 1000);
  });
}

/**
 * Does something with a study's folder, which is claimed for these settings and has no other process in it meanwhile.
 *
 * @param action receives the study, and the seconds that were spent on it before
 * @throws UsageError where the folder holds another study, or another process works in it
 */
export async function withStudy<T>(
  folder: string,
  settings: StudySettings,
  onEvent: OnEvent,
  parts: StudyParts,
  action: (work: Work, earlier: number) => Promise<T>,
): Promise<T> {
  const unlock = await lockFolder(folder);
  try {
    return await withWork(await openWork(folder, settings, onEvent, parts), async (work) =>
      action(work, await claim(work, onEvent)),
    );
  } finally {
    await unlock();
    // A study that could not begin leaves nothing behind; a folder with anything in it stays.
    await rmdir(folder).catch(() => {});
  }
}

/**
 * Does something with the study that a folder was claimed for, as part of what another process began. Waits for a
 * while where that process still has the folder.
 *
 * @throws UsageError where there is no study, or its base model or environment has changed since
 */
export async function withClaimed<T>(
  folder: string,
  onEvent: OnEvent,
  parts: StudyParts,
  action: (work: Work) => Promise<T>,
): Promise<T> {
  const unlock = await lockSoon(folder);
  try {
    return await withWork(await openClaimed(folder, onEvent, parts), action);
  } finally {
    await unlock();
  }
}

/**
 * Does something with what trains runs of a study that was prepared, one after the other. It writes in their folders
 * only, and loads what they share once.
 *
 * @param action receives what trains some runs, named as by `runName`, and returns how many of them failed
 * @throws StoppedError where it was asked to stop
 * @throws UsageError where the study has no such run or is not prepared for it
 */
export async function withTrainer<T>(
  folder: string,
  onEvent: OnEvent,
  signal: AbortSignal | undefined,
  action: (train: (names: readonly string[]) => Promise<number>) => Promise<T>,
): Promise<T> {
  return withWork(await openClaimed(folder, onEvent), (work) =>
    action(async (names) => {
      const runs = names.map((name) => {
        const found = work.table.find((run) => runName(run) === name);
        if (!found) throw new UsageError(`${folder}: the study has no run ${name}.`);
        return found;
      });
      for (const run of runs)
        if (!(await isPrepared(folder, run)))
          throw new UsageError(
            `${folder} is not prepared for the run ${runName(run)}: run the study's command again.`,
          );
      return trainInTurn(work, runs, onEvent, signal);
    }),
  );
}

/**
 * Makes what runs start from, and says beforehand what cannot work.
 *
 * @throws UsageError where no run but those of the control can come to anything, and the settings do not ask for it `anyway`
 */
export async function prepare(work: Work, onEvent: OnEvent): Promise<void> {
  const problems = new Set<string>();
  const judged: { control: boolean; hopeless: boolean }[] = [];
  for (const planned of work.table) {
    const base = await work.base(planned);
    if (planned.seed !== work.table[0]!.seed) continue;
    const tooSmall = penaltyWarning(await chargesOf((await work.arm(planned))!, base), base);
    const found = [...baseProblems(base), ...(tooSmall ? [`${planned.id}: ${tooSmall}`] : [])];
    for (const problem of found.filter((one) => !problems.has(one))) {
      problems.add(problem);
      onEvent({ kind: "warning", detail: problem });
    }
    judged.push({ control: planned.arm === "none", hopeless: found.length > 0 });
  }
  const tested = judged.some(({ control }) => !control) ? judged.filter(({ control }) => !control) : judged;
  if (work.settings.anyway || !tested.every(({ hopeless }) => hopeless)) {
    if (work.settings.forecast) await foretellIfCan(work, onEvent);
    return;
  }
  throw new UsageError(
    `${work.folder}: nothing was trained, since nothing could come of it (see the ${problems.size === 1 ? "warning" : "warnings"} above). Mend that, or train all the same with --anyway.`,
  );
}

/** A study can do without: what cannot be foretold is said. */
async function foretellIfCan(work: Work, onEvent: OnEvent): Promise<void> {
  // What is damaged is told before hours are spent.
  await readForecasts(work.folder);
  await foretell(work, onEvent).catch((error: Error) => {
    if (error instanceof FileError || error instanceof StoppedError || error instanceof LostError)
      throw error;
    onEvent({ kind: "warning", detail: `nothing could be foretold: ${error.message}` });
  });
}

function inThisProcess(onWriting: StudyOptions["onWriting"]): TrainRuns {
  return async (work, onEvent, signal) => {
    await trainInTurn(work, work.table, onEvent, signal, onWriting);
  };
}

/** Returns how many failed. @throws StoppedError, FileError, LostError */
async function trainInTurn(
  work: Work,
  runs: readonly PlannedRun[],
  onEvent: OnEvent,
  signal: AbortSignal | undefined,
  onWriting?: StudyOptions["onWriting"],
): Promise<number> {
  const follow = followRuns(runs, onEvent);
  let failed = 0;
  for (const planned of runs) {
    if (signal?.aborted) throw new StoppedError(`stopped before the run ${runName(planned)}`);
    const { onStep, onWarning, onEnd } = follow(planned);
    const { id: arm, seed } = planned;
    const listener: RunListener = {
      ...{ onStep, onWarning, signal },
      onWriting: onWriting && ((step, written) => onWriting({ arm, seed, step, written })),
    };
    await work.train(planned, listener).catch((error: Error) => {
      // What ails a disk, or what computes, ails every run; anything else is this run's own.
      if (error instanceof FileError || error instanceof StoppedError || error instanceof LostError)
        throw error;
      onWarning(`the run failed: ${error.message}`);
      failed++;
    });
    onEnd();
  }
  return failed;
}

/**
 * Writes the summary and the report of what was done, also by earlier commands that asked for other arms, seeds or points.
 *
 * @throws Error that names the runs that have not finished
 */
export async function conclude(work: Work, seconds: number): Promise<Summary> {
  const { folder, settings, table } = work;
  const runs: FinishedRun[] = [];
  const failed: FailedRun[] = [];
  /** Arms that were functions of an earlier command. */
  const gone = new Set<string>();
  const { kept } = finishedBefore(work, await readSittings(folder), await statusesIn(folder));
  // As if all had been asked for at once: the order of arms is the report's own.
  for (const planned of [...table, ...kept].sort((a, b) => a.seed - b.seed)) {
    const { id, seed } = planned;
    const run = await readRun(runFolder(folder, id, seed), planned.settings.training.steps);
    if ("metrics" in run) {
      const base = await work.base(planned);
      const arm = await work.arm(planned);
      if (!arm) gone.add(id);
      runs.push({
        ...{ planned, base, metrics: run.metrics },
        charges: arm ? await chargesOf(arm, base) : null,
        watchedAlike: arm !== undefined && isWatchedAlike(arm, base),
      });
    } else failed.push({ arm: id, seed, error: run.error });
  }
  if (runs.length === 0) throw new Error(failureOf(failed, 0));
  const summary = summarize({
    ...{ settings, runs, failed, seconds, forecasts: await readForecasts(folder) },
    environment: work.environment,
    base: await work.base(table[0]!),
    machine: machine(),
  });
  const path = join(folder, "summary.json");
  if (gone.size > 0) keepWhatWasSaid(summary, await readDocument(path, summarySchema), gone);
  await writeJson(path, summary);
  await writeReport(join(folder, "report.html"), await loadStudy(folder));
  if (failed.length > 0) throw new Error(failureOf(failed, runs.length));
  return summary;
}

/** Of arms that cannot be asked any more, what was said of the same runs stays: what they penalise is in it. */
function keepWhatWasSaid(summary: Summary, earlier: Summary | undefined, arms: ReadonlySet<string>): void {
  const seedsOf = (of: Summary["arms"][string]) => of.runs.map(({ seed }) => seed).join();
  for (const id of arms) {
    const said = earlier?.arms[id];
    if (said && seedsOf(said) === seedsOf(summary.arms[id]!)) summary.arms[id] = said;
  }
}

async function openClaimed(folder: string, onEvent: OnEvent, parts: StudyParts = {}): Promise<Work> {
  const { settings, origins } = await claimed(folder);
  const work = await openWork(folder, settings, onEvent, parts);
  try {
    await requireUnchanged(work, origins);
    return work;
  } catch (error) {
    await work.close();
    throw error;
  }
}

async function withWork<T>(work: Work, action: (work: Work) => Promise<T>): Promise<T> {
  try {
    return await action(work);
  } finally {
    await work.close();
  }
}

/** Milliseconds for which parts of one launch wait for each other's lock. */
const WAIT = 60_000;

function lockSoon(folder: string): Promise<() => Promise<void>> {
  const began = performance.now();
  return lockWhenFree(folder, (inUse) => {
    if (performance.now() - began > WAIT) throw inUse;
  });
}

function failureOf(failed: readonly FailedRun[], finished: number): string {
  const lines = failed.map(({ arm, seed, error }) => `  ${arm}, seed ${seed}: ${error}`);
  return `${failed.length} of ${failed.length + finished} runs failed, and are in no mean of the summary:\n${lines.join("\n")}`;
}

/** @file The `slurm` launcher: a job that prepares, an array of tasks that train, and a job that finishes or goes on. */

import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { withFile } from "../../files.ts";
import { runFolder, runName } from "../../store/index.ts";
import {
  claimed,
  conclude,
  expand,
  isPrepared,
  type OnEvent,
  type PlannedRun,
  readSeconds,
  readStatus,
  type StudyParts,
  type StudySettings,
  slurmSettingsSchema,
  withClaimed,
  withStudy,
} from "../../study/index.ts";
import type { Launcher } from "../types.ts";
import { sbatch, scancel } from "./client.ts";
import { activeRuns, queuedJobs } from "./queue.ts";
import { type ArrayRecord, addRecord, isArray, readRecords } from "./records.ts";
import {
  dependency,
  launchFolder,
  type Role,
  type Submission,
  scriptsOf,
  shellWord,
  taskCount,
} from "./scripts.ts";

/** How to launch on a cluster. What it asks for is in the study's settings. */
export interface SlurmOptions {
  /** This program, as the machines that compute start it: what `task` and its arguments are given to. */
  program: readonly string[];
}

export function slurmLauncher({ program }: SlurmOptions): Launcher {
  return {
    launch: (folder, settings, onEvent) =>
      withStudy(folder, settings, onEvent, alone(settings), async (work, earlier) => {
        const active = await activeRuns(folder);
        const submission = await plan(folder, settings, program, [...active.keys()]);
        if (submission.runs.length > 0) {
          const began = new Date().toISOString();
          onEvent({ kind: "stage", detail: await submit(submission, { round: 1, began }) });
        } else if (active.size > 0) {
          const detail = `Nothing to submit: the ${active.size} runs that are not done are in Slurm's queue.`;
          onEvent({ kind: "stage", detail });
        } else return conclude(work, earlier);
      }),
    active: activeRuns,
    cancel,
    log: lastLog,
  };
}

/** A process that only submits or finishes has no job of several nodes, and computes nothing. */
function alone({ engine }: StudySettings): StudyParts {
  return engine === undefined
    ? {}
    : { compute: { ...engine, nodes: undefined, processes: undefined, data: undefined } };
}

/** What `launch` would submit, as a script for bash. Writes nothing. */
export async function dryRun(
  folder: string,
  settings: StudySettings,
  { program }: SlurmOptions,
): Promise<string> {
  const active = await activeRuns(folder);
  const submission = await plan(folder, settings, program, [...active.keys()]);
  if (submission.runs.length === 0) return "# Nothing to submit: every run is done or in Slurm's queue.\n";
  const { files, commands } = scriptsOf(submission);
  const place = launchFolder(folder, submission.launch);
  const scripts = Object.entries(files).map(([name, text]) => `# ${join(place, name)}\n${text}\n`);
  const calls = commands.map(({ role, script, options, after }) => {
    const all = [...options, ...(after ? [dependency(after, `$${after}`)] : [])];
    return `${role}=$(sbatch --parsable ${[...all, shellWord(script)].join(" ")})\n`;
  });
  return [...scripts, "# What is called:\n", ...calls].join("");
}

/** What is to be submitted of a study: runs that are not done, and that nobody has in hand. */
async function plan(
  study: string,
  settings: StudySettings,
  program: readonly string[],
  active: readonly string[],
): Promise<Submission> {
  const runs: PlannedRun[] = [];
  for (const run of expand(settings)) {
    const status = await readStatus(runFolder(study, run.id, run.seed));
    if (status?.state !== "done" && !active.includes(runName(run))) runs.push(run);
  }
  const prepared = await Promise.all(runs.map((run) => isPrepared(study, run)));
  const before = await readdir(join(study, "launch")).catch(() => []);
  return {
    study,
    launch: 1 + Math.max(0, ...before.filter((name) => /^\d{1,9}$/.test(name)).map(Number)),
    settings: settings.slurm ?? slurmSettingsSchema.parse({}),
    program,
    runs: runs.map(runName),
    prepare: prepared.includes(false),
    nodes: settings.engine?.nodes ?? 1,
    processes: settings.engine?.processes ?? 1,
  };
}

/** Writes the scripts, and hands them to Slurm. Returns a sentence. @throws Error with what Slurm said: nothing is left of it then */
async function submit(
  submission: Submission,
  { round, began }: Pick<ArrayRecord, "round" | "began">,
): Promise<string> {
  const { study, launch } = submission;
  const { files, commands } = scriptsOf(submission);
  const folder = launchFolder(study, launch);
  await withFile("write", folder, async () => {
    await mkdir(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  });
  const jobs: Partial<Record<Role, string>> = {};
  try {
    for (const { role, script, options, after } of commands) {
      const job = await sbatch(script, [...options, ...(after ? [dependency(after, jobs[after]!)] : [])]);
      jobs[role] = job;
      const record = { version: 1, submitted: new Date().toISOString(), launch, job } as const;
      if (role !== "runs") await addRecord(study, { ...record, role });
      else {
        const runs = await withSteps(study, submission.runs);
        const { settings } = submission;
        await addRecord(study, {
          ...record,
          role,
          round,
          began,
          tasks: taskCount(submission),
          settings,
          runs,
        });
      }
    }
  } catch (error) {
    await scancel(Object.values(jobs)).catch(() => {});
    throw error;
  }
  const { prepare, runs, finish } = jobs;
  return `Submitted ${submission.runs.length} runs to Slurm: ${prepare ? `prepared by job ${prepare}, ` : ""}trained by ${runs}, finished by ${finish}.`;
}

async function withSteps(study: string, runs: readonly string[]): Promise<ArrayRecord["runs"]> {
  return Promise.all(
    runs.map(async (run) => ({ run, step: (await readStatus(join(study, "runs", run)))?.step ?? 0 })),
  );
}

/**
 * What the last job of a submission does: has gone on with what ran out of time, or else writes summary and report.
 *
 * @throws Error that names the runs that failed, and why
 */
export async function finishOnSlurm(
  folder: string,
  launch: number,
  { program }: SlurmOptions,
  onEvent: OnEvent,
): Promise<void> {
  const tell = (detail: string) => onEvent({ kind: "stage", detail });
  const parts = alone((await claimed(folder)).settings);
  await withClaimed(folder, onEvent, parts, async (work) => {
    const active = await activeRuns(folder);
    if (active.size > 0) return tell(`${active.size} runs are still in Slurm's queue: their job finishes.`);
    const array = (await readRecords(folder)).filter(isArray).find((record) => record.launch === launch)!;
    const again = await runsToGoOnWith(folder, array);
    const settings = { ...work.settings, slurm: array.settings };
    const submission = await plan(folder, settings, program, []);
    if (again.length > 0 && array.round < submission.settings.rounds) {
      const { round, began } = array;
      return tell(await submit({ ...submission, runs: again }, { round: round + 1, began }));
    }
    if (submission.prepare)
      throw new Error(`preparing the study failed; ${launchFolder(folder, launch)}/prepare.log says why.`);
    const seconds = (Date.now() - Date.parse(array.began)) / 1000;
    await conclude(work, (await readSeconds(folder)) + Math.max(0, seconds));
    tell(`Report: ${join(folder, "report.html")}`);
  });
}

/** Runs that were cut short, of tasks that came further. A task that did not would not the next time. */
async function runsToGoOnWith(study: string, { runs, tasks }: ArrayRecord): Promise<string[]> {
  const now = await Promise.all(runs.map(({ run }) => readStatus(join(study, "runs", run))));
  const came = new Set(runs.flatMap(({ step }, i) => ((now[i]?.step ?? 0) > step ? [i % tasks] : [])));
  return runs.flatMap(({ run }, i) => {
    const state = now[i]?.state;
    return state !== "done" && state !== "failed" && came.has(i % tasks) ? [run] : [];
  });
}

/** Where nothing of the run itself was written: the preparation's. */
async function lastLog(study: string, run: string): Promise<string | undefined> {
  const arrays = (await readRecords(study)).filter(isArray);
  const array = arrays.findLast(({ runs }) => runs.some((one) => one.run === run));
  if (!array) return undefined;
  const task = array.runs.findIndex((one) => one.run === run) % array.tasks;
  const own = join(launchFolder(study, array.launch), `run-${task}.log`);
  const written = await stat(own).then(
    ({ size }) => size > 0,
    () => false,
  );
  return written ? own : join(launchFolder(study, array.launch), "prepare.log");
}

async function cancel(folder: string): Promise<string[]> {
  const found = new Set<string>();
  // Those that would go on with what is cut short come first.
  for (const last of [true, false]) {
    const queued = await queuedJobs(folder);
    const jobs = queued
      .filter(({ record }) => (record.role === "finish") === last)
      .map(({ record }) => record.job);
    await scancel([...new Set(jobs)]);
    for (const job of jobs) found.add(job);
  }
  while ((await queuedJobs(folder)).length > 0) await setTimeout(500);
  return [...found].map((job) => `Slurm job ${job}`);
}

/** @file Slurm through its command-line tools, whose options and formats have been the same for many releases. */

import { execFile } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { NotHereError } from "../types.ts";

/** A job, or a task of an array, as `squeue` knows it. */
export interface QueuedJob {
  /** `12`, or `12_3` for a task of an array. */
  id: string;
  /** `PENDING`, `RUNNING`, ... See squeue(1). */
  state: string;
  /** The node; in brackets, why it waits. */
  where: string;
  /** The script that it was submitted with. */
  script: string;
}

/** Submits a script. Returns the job's number. @throws Error with what Slurm said */
export async function sbatch(script: string, options: readonly string[] = []): Promise<string> {
  const said = await call("sbatch", ["--parsable", ...options, script]);
  // Followed by the cluster's name where there are several.
  return said.trim().split(";")[0]!;
}

/** Those of some jobs that have not ended, each task of an array by itself. @throws Error with what Slurm said */
export async function squeue(jobs: readonly string[]): Promise<QueuedJob[]> {
  if (jobs.length === 0) return [];
  const args = ["-h", "-r", "-o", "%i|%T|%R|%o", "-j", jobs.join()];
  const said = await patiently(() => call("squeue", args)).catch((error: Error) => {
    // What it says where it has forgotten all of them.
    if (/Invalid job id/i.test(error.message)) return "";
    throw error;
  });
  return said
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [id, state, where, ...script] = line.split("|") as [string, string, string, ...string[]];
      return { id, state, where, script: script.join("|") };
    });
}

/** Ends jobs: their processes are told, and killed if they do not listen. @throws Error with what Slurm said */
export async function scancel(jobs: readonly string[]): Promise<void> {
  if (jobs.length > 0) await call("scancel", jobs);
}

/** A busy controller does not always answer. Asking again does no harm. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (const seconds of [1, 5]) {
    try {
      return await ask();
    } catch (error) {
      if (!/timed out|Unable to contact/i.test((error as Error).message)) throw error;
      await setTimeout(1000 * seconds);
    }
  }
  return ask();
}

const run = promisify(execFile);

async function call(program: string, args: readonly string[]): Promise<string> {
  try {
    // Many thousands of tasks have long lists.
    return (await run(program, args, { maxBuffer: 2 ** 28 })).stdout;
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT")
      throw new NotHereError(`${program} is not on this machine: do this where Slurm's commands are.`);
    throw new Error(`${program} failed: ${stderr?.trim() || message}`);
  }
}

/** @file What of a study Slurm has in its queue. */

import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { readStatus } from "../../study/index.ts";
import type { Activity } from "../types.ts";
import { type QueuedJob, squeue } from "./client.ts";
import { isArray, type JobRecord, readRecords } from "./records.ts";
import { launchFolder } from "./scripts.ts";

/** A job of a study, or a task of its array, that has not ended. */
export interface QueuedRecord extends QueuedJob {
  record: JobRecord;
}

/** What of a study waits or runs. @throws Error with what Slurm said */
export async function queuedJobs(study: string): Promise<QueuedRecord[]> {
  const records = await readRecords(study);
  const queued = await squeue(records.map(({ job }) => job));
  const found: QueuedRecord[] = [];
  for (const job of queued) {
    const record = records.find((one) => job.id.split("_")[0] === one.job);
    // Numbers of jobs come again when a cluster is set up anew, and whoever made the folder may have written any.
    if (record && (await isSame(job.script, scriptOf(study, record)))) found.push({ ...job, record });
  }
  return found;
}

/** Are these paths of one file? */
async function isSame(...paths: [string, string]): Promise<boolean> {
  const [a, b] = await Promise.all(paths.map((path) => realpath(path).catch(() => undefined)));
  return a !== undefined && a === b;
}

function scriptOf(study: string, { launch, role }: JobRecord): string {
  return join(launchFolder(study, launch), `${role}.sh`);
}

/** The runs that tasks in the queue have yet to do, by name. */
export async function activeRuns(study: string): Promise<Map<string, Activity>> {
  const active = new Map<string, Activity>();
  for (const { id, state, where, record } of await queuedJobs(study)) {
    // What has ended, and is being cleaned up.
    if (!isArray(record) || state === "COMPLETING") continue;
    const detail = `Slurm ${id}: ${state} ${where}`;
    let running = state === "RUNNING";
    for (const { run } of record.runs.filter((_, i) => i % record.tasks === Number(id.split("_")[1]))) {
      if ((await readStatus(join(study, "runs", run)))?.state === "done") continue;
      active.set(run, { state: running ? "running" : "pending", detail });
      // A task trains its runs one after the other.
      running = false;
    }
  }
  return active;
}

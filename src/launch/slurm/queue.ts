/** @file What of a study Slurm has in its queue. */

import { join } from "node:path";
import { readStatus } from "../../study/index.ts";
import type { Activity } from "../types.ts";
import { type QueuedJob, squeue } from "./client.ts";
import { isArray, type JobRecord, readRecords } from "./records.ts";

/** A job of a study, or a task of its array, that has not ended. */
export interface QueuedRecord extends QueuedJob {
  record: JobRecord;
}

/** What of a study waits or runs. @throws Error with what Slurm said */
export async function queuedJobs(study: string): Promise<QueuedRecord[]> {
  const records = await readRecords(study);
  const queued = await squeue(records.map(({ job }) => job));
  return queued.flatMap((job) => {
    const record = records.find(
      ({ job: id, launch, role }) =>
        job.id.split("_")[0] === id &&
        // Numbers of jobs come again when a cluster is set up anew.
        job.script.endsWith(`/launch/${launch}/${role}.sh`),
    );
    return record ? [{ ...job, record }] : [];
  });
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

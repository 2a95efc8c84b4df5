/** @file What the list of studies says of each: read from small files only. */

import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { parseJson, readText } from "../files.ts";
import type { StudyListing, StudyState } from "../report/index.ts";
import {
  listRuns,
  plannedOf,
  type RunStatus,
  requireInside,
  runStatusSchema,
  statIfPresent,
} from "../store/index.ts";

/** A study that has written nothing for this long, in milliseconds, has stopped. */
export const QUIET = 120_000;

export async function listStudy(
  id: string,
  folder: string,
  root: string,
  now: number,
): Promise<StudyListing> {
  const realRoot = await realpath(root);
  const document = await readJson(join(folder, "study.json"), realRoot);
  const statuses: (RunStatus | null)[] = [];
  const failed: StudyListing["failed"] = [];
  let written = (await statIfPresent(join(folder, "study.json")))?.mtimeMs ?? 0;
  for (const run of await listRuns(folder)) {
    for (const name of ["status.json", "metrics.jsonl"])
      written = Math.max(written, (await statIfPresent(join(run.path, name)))?.mtimeMs ?? 0);
    const document = await readJson(join(run.path, "status.json"), realRoot);
    const status = runStatusSchema.safeParse(document).data ?? null;
    statuses.push(status);
    if (status?.state === "failed")
      failed.push({ arm: run.arm, seed: run.seed, error: status.error ?? "it does not say why" });
  }
  const finished = (await statIfPresent(join(folder, "summary.json"))) !== undefined;
  const planned = plannedOf(document);
  const steps = statuses.reduce((sum, status) => sum + (status?.step ?? 0), 0);
  const { environment } = (document ?? {}) as { environment?: unknown };
  return {
    id,
    environment: typeof environment === "string" ? environment : null,
    state: stateOf(statuses, finished, now - written),
    done: statuses.filter((status) => status?.state === "done").length,
    runs: planned.runs,
    progress: planned.steps === null ? null : Math.min(1, steps / planned.steps),
    failed,
    written,
  };
}

/** @param quiet milliseconds since anything was written */
export function stateOf(
  statuses: readonly (RunStatus | null)[],
  finished: boolean,
  quiet: number,
): StudyState {
  if (statuses.some((status) => status?.state === "failed")) return "failed";
  // A finished study may be given more arms and seeds.
  if (finished && statuses.every((status) => status?.state === "done")) return "finished";
  if (statuses.length === 0) return "empty";
  const some = (state: RunStatus["state"]) => statuses.some((status) => status?.state === state);
  return quiet > QUIET || (some("stopped") && !some("running")) ? "stopped" : "running";
}

async function readJson(path: string, root: string): Promise<unknown> {
  try {
    await requireInside(path, root);
    return parseJson((await readText(path)) ?? "");
  } catch {
    return undefined;
  }
}

/** @file The model that a run has come to, to be asked: its last checkpoint, with the probes that its study started from. */

import { basename, dirname, join, resolve } from "node:path";
import type { Engine } from "../engine/index.ts";
import { loadProven, openChanged } from "../prepare/index.ts";
import type { Probe } from "../probe/types.ts";
import { foldersIn, seedOf } from "../store/index.ts";
import { openAuditedStudy, plannedLike } from "./audit-run.ts";
import { lastCheckpoint } from "./checkpoint.ts";
import { baseFolder } from "./work.ts";

export interface TrainedRun {
  engine: Engine;
  /** Steps that it was trained for. */
  step: number;
  /** By their folders in the study's `probes/`. */
  probes: Record<string, Probe>;
}

/** Is it the path of a run, `<study>/runs/<arm>/seed-<n>`? */
export function isRunFolder(path: string): boolean {
  const full = resolve(path);
  return seedOf(basename(full)) !== undefined && basename(dirname(dirname(full))) === "runs";
}

/**
 * Opens a run's last checkpoint. Close the engine when done.
 *
 * @param path the run's folder, `<study>/runs/<arm>/seed-<n>`
 * @throws UsageError where the study has no such run
 * @throws Error where it has no checkpoint, or a probe does not read what it was fitted on
 */
export async function openTrainedRun(path: string, memoryMB?: number): Promise<TrainedRun> {
  const full = resolve(path);
  const folder = dirname(dirname(dirname(full)));
  const arm = basename(dirname(full));
  const asked = { arm, seed: seedOf(basename(full)) };
  const { model, settings } = await openAuditedStudy(folder, asked, memoryMB);
  try {
    const { folder: checkpoint, step } = await lastCheckpoint(full);
    const planned = plannedLike(settings, { arm });
    const from = join(baseFolder(folder, planned ?? { point: {} }), "probes");
    const { adapter } = planned?.settings ?? settings;
    const probes: [string, Probe][] = [];
    // Proved on the model that they were fitted on.
    for (const name of await foldersIn(from))
      probes.push([name, (await loadProven(join(from, name), model.engine)).probe]);
    const { engine } = await openChanged(checkpoint, model, memoryMB, adapter);
    return { engine, step, probes: Object.fromEntries(probes) };
  } finally {
    await model.engine.close();
  }
}

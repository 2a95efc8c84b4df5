/** @file How the runs of a study stand: by their folders, and by who has them in hand. */

import { claimed, expand, readStatus, runFolder, runName } from "../study/index.ts";
import type { Activity, Launcher } from "./types.ts";

export interface RunState {
  /** As `runName` gives it. */
  run: string;
  /** `stopped`: it has begun, and nobody goes on with it; `waiting`: it has not, and nobody has it in hand. */
  state: "done" | "failed" | "running" | "pending" | "stopped" | "waiting";
  step: number;
  steps: number;
  /** Why it failed, where it runs, what it waits for, or where to look for what became of it. */
  detail?: string | undefined;
}

/**
 * Every run of the study in a folder, in the order of its table. Where several launchers have one in hand, the first says how.
 *
 * @throws UsageError where there is none
 */
export async function studyStatus(folder: string, launchers: readonly Launcher[]): Promise<RunState[]> {
  const { settings } = await claimed(folder);
  const active = new Map<string, Activity>();
  for (const launcher of launchers)
    for (const [run, activity] of await launcher.active(folder))
      if (!active.has(run)) active.set(run, activity);
  const traceOf = async (run: string) => {
    for (const launcher of launchers) {
      const log = await launcher.log?.(folder, run);
      if (log !== undefined) return `see ${log}`;
    }
  };
  return Promise.all(
    expand(settings).map(async (planned): Promise<RunState> => {
      const run = runName(planned);
      const status = await readStatus(runFolder(folder, planned.id, planned.seed));
      const known = { run, step: status?.step ?? 0, steps: planned.settings.training.steps };
      if (status?.state === "done") return { ...known, state: "done" };
      const activity = active.get(run);
      if (activity) return { ...known, ...activity };
      if (status?.state === "failed") return { ...known, state: "failed", detail: status.error };
      return { ...known, state: status ? "stopped" : "waiting", detail: await traceOf(run) };
    }),
  );
}

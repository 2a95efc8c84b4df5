/** @file How the runs of a study stand: by their folders, and by who has them in hand. */

import { runFolder, runName } from "../store/index.ts";
import { claimed, expand, readStatus } from "../study/index.ts";
import { heldRuns } from "./held.ts";
import { type Activity, type Launcher, NotHereError } from "./types.ts";

export interface RunStanding {
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
 * Where one cannot be asked on this machine, folders tell which runs are in hand, and not which are to be.
 *
 * @param onWarning told of that
 * @throws UsageError where there is none
 */
export async function studyStatus(
  folder: string,
  launchers: readonly Launcher[],
  onWarning: (warning: string) => void,
): Promise<RunStanding[]> {
  const { settings } = await claimed(folder);
  const active = new Map<string, Activity>();
  for (const launcher of launchers) {
    const found = await launcher.active(folder).catch((error: Error) => {
      if (!(error instanceof NotHereError)) throw error;
      onWarning(
        `${error.message} Shown is what the folders say; a run that is in a queue is shown as waiting or stopped.`,
      );
      return heldRuns(folder);
    });
    for (const [run, activity] of found) if (!active.has(run)) active.set(run, activity);
  }
  const traceOf = async (run: string) => {
    for (const launcher of launchers) {
      const log = await launcher.log?.(folder, run);
      if (log !== undefined) return `see ${log}`;
    }
  };
  return Promise.all(
    expand(settings).map(async (planned): Promise<RunStanding> => {
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

/** @file The runs of a study that processes have in hand, of whatever machine: by the locks in their folders. */

import { holderOf, runFolder, runName } from "../store/index.ts";
import { claimed, expand, readStatus } from "../study/index.ts";
import type { Activity } from "./types.ts";

/** How long a sign of life of another machine is waited for, in milliseconds: it beats every five seconds. */
export const LOOK = 12_000;

/** The runs whose folders somebody has now, by name. @throws UsageError where there is no study */
export async function heldRuns(folder: string): Promise<Map<string, Activity>> {
  const held = new Map<string, Activity>();
  const { settings } = await claimed(folder);
  await Promise.all(
    expand(settings).map(async (run) => {
      const place = runFolder(folder, run.id, run.seed);
      if ((await readStatus(place))?.state === "done") return;
      const holder = await holderOf(place, LOOK);
      if (holder)
        held.set(runName(run), { state: "running", detail: `process ${holder.pid} on ${holder.host}` });
    }),
  );
  return held;
}

/** @file What commands asked of one study, one after the other: what they finished stays in its summary and report. */

import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { readDocument } from "../files.ts";
import { listRuns, type RunStatus, runName } from "../store/index.ts";
import { expand, type PlannedRun } from "./expand.ts";
import { readStatus } from "./run.ts";
import { studySchema } from "./settings.ts";
import type { Work } from "./work.ts";

const { seeds, firstSeed, grid } = studySchema.shape;

/** What a command may ask for otherwise than the one before it. Its arms are ids, or paths of modules. */
const sittingSchema = z.object({ arms: z.array(z.string()), seeds, firstSeed, grid });

export type Sitting = z.infer<typeof sittingSchema>;

const documentSchema = z.object({ sittings: z.array(sittingSchema).optional(), settings: z.unknown() });

/** What was asked of the study in a folder, oldest first. Earlier versions kept what was asked last. */
export async function readSittings(folder: string): Promise<Sitting[]> {
  const stored = await readDocument(join(folder, "study.json"), documentSchema);
  const last = () => sittingSchema.safeParse(stored?.settings).data;
  return stored?.sittings ?? [last() ?? []].flat();
}

/** Those before, and what is asked now, each once. */
export function withSitting(
  sittings: readonly Sitting[],
  { settings, table }: Pick<Work, "settings" | "table">,
) {
  const { seeds, firstSeed, grid } = settings;
  // Of arms that are functions, the table alone knows.
  const arms = [...new Set(table.map(({ arm }) => arm))];
  const now: Sitting = { arms, seeds, firstSeed, ...(grid && { grid }) };
  return [...sittings.filter((one) => !isDeepStrictEqual(one, now)), now];
}

/** What the runs of a folder say of themselves, by their names. One whose status cannot be read says nothing. */
export async function statusesIn(folder: string): Promise<ReadonlyMap<string, RunStatus>> {
  const found = (await listRuns(folder)).map(async ({ arm, seed, path }) => {
    const status = await readStatus(path).catch(() => undefined);
    return status ? [[runName({ id: arm, seed }), status] as const] : [];
  });
  return new Map((await Promise.all(found)).flat());
}

/**
 * The finished runs of a study's folder that are not in its present table.
 *
 * @returns `kept`: runs of earlier sittings that are as those of the table are, of as many steps and a grid of the same settings;
 * `lost`: of the others, the names and why they are none
 */
export function finishedBefore(
  { settings, table }: Pick<Work, "settings" | "table">,
  sittings: readonly Sitting[],
  statuses: ReadonlyMap<string, RunStatus>,
): { kept: PlannedRun[]; lost: string[] } {
  const { steps } = settings.training;
  const axes = Object.keys(settings.grid ?? {});
  // A run has the control of its grid point, and a map has one place for each.
  const alike = sittings.filter(({ grid = {} }) => isDeepStrictEqual(Object.keys(grid), axes));
  const { grid: _, ...rest } = settings;
  const asked = new Map(
    alike.flatMap((sitting) => expand({ ...rest, ...sitting }).map((run) => [runName(run), run] as const)),
  );
  const planned = new Set(table.map(runName));
  const kept: PlannedRun[] = [];
  const lost: string[] = [];
  for (const [name, status] of statuses) {
    if (status.state !== "done" || planned.has(name)) continue;
    const run = asked.get(name);
    if (status.steps !== steps) lost.push(`${name} (${status.steps} steps, and not ${steps})`);
    else if (!run) lost.push(`${name} (its arm or its grid is not known to this command)`);
    else kept.push(run);
  }
  return { kept, lost };
}

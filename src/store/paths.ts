/** @file Where a study's files are in its folder. */

import { join } from "node:path";

/** Folder of a run within a study's. */
export function runFolder(study: string, arm: string, seed: number): string {
  return join(study, "runs", runName({ id: arm, seed }));
}

/** What a run is called within its study: its folder in `runs/`. */
export function runName({ id, seed }: { id: string; seed: number }): string {
  return `${id}/seed-${seed}`;
}

/** The seed of a run's folder, `seed-<n>`; `undefined` for another one. */
export function seedOf(name: string): number | undefined {
  const digits = /^seed-(\d+)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

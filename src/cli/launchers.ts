/** @file The launchers that commands know. */

import { resolve } from "node:path";
import { type Launcher, localLauncher, slurmLauncher } from "../launch/index.ts";

export type LauncherName = "local" | "slurm";

/** @param jobs runs at a time on this machine */
export function launchers(jobs = 1): Record<LauncherName, Launcher> {
  const program = thisProgram();
  // Slurm first: who has a study's folder on another machine may be one of its jobs, and is cancelled with it.
  return { slurm: slurmLauncher({ program }), local: localLauncher({ program, jobs }) };
}

/** What starts this program again. */
export function thisProgram(): string[] {
  return [process.execPath, ...process.execArgv, resolve(process.argv[1]!)];
}

/** @file What others may use of launchers. */

export { type LocalOptions, localLauncher } from "./local.ts";
export { stoppable } from "./signals.ts";
export { dryRun, finishOnSlurm, type SlurmOptions, slurmLauncher } from "./slurm/launcher.ts";
export { type RunStanding, studyStatus } from "./status.ts";
export type { Activity, Launcher } from "./types.ts";
export { work } from "./worker.ts";

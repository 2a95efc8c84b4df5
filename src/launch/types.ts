/** @file The vocabulary of launchers. */

import type { Summary } from "../store/index.ts";
import type { OnEvent, StudySettings } from "../study/index.ts";

/** A run that somebody has in hand. */
export interface Activity {
  state: "pending" | "running";
  /** Where it runs, or what it waits for. */
  detail: string;
}

/** What a launcher works with is not on this machine; the message says what. */
export class NotHereError extends Error {}

/** How the runs of a study come to processes of their own. */
export interface Launcher {
  /**
   * Has done what is not done of a study, and is not in hand: prepares it, trains its runs, writes summary and report.
   *
   * @returns the summary; `undefined` where it goes on without this process
   * @throws UsageError where the folder holds another study, or another process works in it
   * @throws Error that names the runs that failed, where it has waited for them
   */
  launch(folder: string, settings: StudySettings, onEvent: OnEvent): Promise<Summary | undefined>;
  /** What of a study it has in hand, by `runName`. Empty where that is nothing. @throws NotHereError */
  active(folder: string): Promise<ReadonlyMap<string, Activity>>;
  /**
   * Stops what it has in hand: runs keep the step that they are in. Returns when nothing of it is left.
   *
   * @returns what was stopped, a line each
   */
  cancel(folder: string): Promise<string[]>;
  /** Where a run's process wrote last what it had to say; absent where processes write to the terminal. */
  log?(folder: string, run: string): Promise<string | undefined>;
}

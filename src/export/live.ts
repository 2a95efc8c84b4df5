/** @file Metrics handed to where people look, while a study goes on. */

import { join } from "node:path";
import { linesBefore, parseMetrics, runFolder, type StepMetrics } from "../store/index.ts";
import type { OnEvent } from "../study/index.ts";

/** Where metrics can go: event files in the study's folder, and clients that are Python's. */
export const liveNames = ["tensorboard", "wandb", "trackio"] as const;

export type LiveName = (typeof liveNames)[number];

/** A run of the study that is followed. */
export interface LiveRun {
  arm: string;
  seed: number;
}

/** Where a run's metrics go. Calls come one after the other. */
export interface LiveLog {
  /** What was done of it before this sitting. */
  begin(lines: readonly StepMetrics[]): Promise<void>;
  add(line: StepMetrics): Promise<void>;
  /** The run is done, or the study stops. */
  end(): Promise<void>;
}

/**
 * Follows a study. A log that fails is left; training goes on.
 *
 * @param folder the study's
 * @param open opens a run's log
 * @param warn told once where logs fail
 */
export function followLive(
  folder: string,
  open: (run: LiveRun) => Promise<LiveLog>,
  warn: (message: string) => void,
): { onEvent: OnEvent; close(): Promise<void> } {
  const runs = new Map<string, Promise<LiveLog>>();
  let failed = false;
  const tell = (error: Error) => {
    if (!failed) warn(`the log was left, and training goes on: ${error.message}`);
    failed = true;
  };
  const follow = async (log: Promise<LiveLog>, action: (log: LiveLog) => Promise<void>) => {
    const opened = await log;
    await action(opened);
    return opened;
  };
  const begun = async (run: LiveRun, step: number) => {
    const path = join(runFolder(folder, run.arm, run.seed), "metrics.jsonl");
    const log = await open(run);
    await log.begin((await linesBefore(path, parseMetrics, step)).values);
    return log;
  };
  return {
    onEvent(event) {
      if (event.kind !== "step") return;
      const { arm, seed, steps, metrics } = event;
      const key = `${arm}/${seed}`;
      const log = runs.get(key) ?? begun({ arm, seed }, metrics.step);
      const last = metrics.step + 1 === steps;
      const next = follow(log, async (opened) => {
        await opened.add(metrics);
        if (last) await opened.end();
      });
      next.catch(tell);
      runs.set(key, next);
    },
    async close() {
      for (const log of runs.values()) await follow(log, (opened) => opened.end()).catch(tell);
    },
  };
}

/** @file The `local` launcher: several child processes side by side, each of which trains runs one after the other. */

import { setTimeout } from "node:timers/promises";
import { StoppedError, UsageError } from "../errors.ts";
import { holderOf, runFolder, runName } from "../store/index.ts";
import { claimed, expand, followRuns, readRun, runStudy, type TrainRuns } from "../study/index.ts";
import { threads } from "../tensor/index.ts";
import { heldRuns, LOOK } from "./held.ts";
import { stoppable } from "./signals.ts";
import type { Activity, Launcher } from "./types.ts";
import { startWorker, type Worker } from "./worker.ts";

/** How to launch on this machine. */
export interface LocalOptions {
  /** This program: what `task` and its arguments are given to. */
  program: readonly string[];
  /** Runs at a time, in as many processes; the machine's threads are divided among them. One is trained in this process. */
  jobs: number;
}

export function localLauncher({ program, jobs }: LocalOptions): Launcher {
  return {
    launch: (folder, settings, onEvent) =>
      stoppable((signal) =>
        runStudy(
          folder,
          settings,
          onEvent,
          {},
          { ...(jobs > 1 && { conduct: inProcesses(program, jobs) }), signal },
        ),
      ),
    active: activeRuns,
    cancel,
  };
}

function inProcesses(program: readonly string[], jobs: number): TrainRuns {
  return async (work, onEvent, signal) => {
    const follow = followRuns(work.table, onEvent);
    const left = [...work.table];
    const share = Math.max(1, Math.floor(threads() / jobs));
    const trainSome = async () => {
      let worker: Worker | undefined;
      for (let run = left.shift(); run && !signal?.aborted; run = left.shift()) {
        const { onStep, onWarning, onEnd } = follow(run);
        const { steps } = run.settings.training;
        const found = await readRun(runFolder(work.folder, run.id, run.seed), steps);
        // Only reads, and says what the run warned of.
        if ("metrics" in found) await work.train(run, { onStep, onWarning });
        else {
          // One that has ended is replaced: what ended it is that run's alone.
          if (!worker?.alive) worker = startWorker(program, work.folder, share, signal);
          const problem = await worker.train(runName(run), (event) => {
            if (event.kind === "step") onStep(event.metrics);
            if (event.kind === "warning") onEvent(event);
          });
          if (problem !== undefined && !signal?.aborted) onWarning(problem);
        }
        onEnd();
      }
      await worker?.close();
    };
    await Promise.all(Array.from({ length: jobs }, trainSome));
    if (signal?.aborted) throw new StoppedError("stopped: every run stands on a checkpoint");
  };
}

async function activeRuns(folder: string): Promise<ReadonlyMap<string, Activity>> {
  const study = await holderOf(folder, LOOK);
  if (!study) return new Map();
  const active = await heldRuns(folder);
  const detail = `process ${study.pid} on ${study.host}`;
  for (const run of expand((await claimed(folder)).settings)) {
    const place = runFolder(folder, run.id, run.seed);
    const done = "metrics" in (await readRun(place, run.settings.training.steps));
    if (!done && !active.has(runName(run))) active.set(runName(run), { state: "pending", detail });
  }
  return active;
}

async function cancel(folder: string): Promise<string[]> {
  const study = await holderOf(folder, LOOK);
  if (!study) return [];
  const { host, pid, here, certain } = study;
  if (!here)
    throw new UsageError(`${folder} is in use by process ${pid} on ${host}: cancel it on that machine.`);
  if (!certain)
    throw new UsageError(
      `${folder} is in use by process ${pid}, by a lock that does not tell whether it is still the same process: end it yourself, or delete the lock.`,
    );
  process.kill(pid, "SIGTERM");
  while (await holderOf(folder, LOOK)) await setTimeout(100);
  return [`process ${pid}`];
}

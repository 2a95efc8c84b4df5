/** @file The `local` launcher: runs in child processes of this one, several side by side. */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import {
  type Conduct,
  claimed,
  expand,
  followRuns,
  holderOf,
  type OnEvent,
  readRun,
  runFolder,
  runName,
  runStudy,
  StoppedError,
  type StudyEvent,
  UsageError,
} from "../study/index.ts";
import { threads } from "../tensor/index.ts";
import { stoppable } from "./signals.ts";
import type { Activity, Launcher } from "./types.ts";

/** How to launch on this machine. */
export interface LocalOptions {
  /** This program: what `task` and its arguments are given to. */
  program: readonly string[];
  /** Runs at a time, each in a process of its own; the machine's threads are divided among them. One is trained in this process. */
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

function inProcesses(program: readonly string[], jobs: number): Conduct {
  return async (work, onEvent, signal) => {
    const follow = followRuns(work.table, onEvent);
    const left = [...work.table];
    const share = Math.max(1, Math.floor(threads() / jobs));
    const worker = async () => {
      for (let run = left.shift(); run && !signal?.aborted; run = left.shift()) {
        const { onStep, onWarning, onEnd } = follow(run);
        const { steps } = run.settings.training;
        const found = await readRun(runFolder(work.folder, run.id, run.seed), steps);
        // Only reads, and says what the run warned of.
        if ("metrics" in found) await work.train(run, { onStep, onWarning });
        else {
          const args = ["task", "train", work.folder, runName(run), "--json"];
          const problem = await runTask([...program, ...args], share, signal, (event) => {
            if (event.kind === "step") onStep(event.metrics);
            if (event.kind === "warning") onEvent(event);
          });
          if (problem !== undefined && !signal?.aborted) onWarning(problem);
        }
        onEnd();
      }
    };
    await Promise.all(Array.from({ length: jobs }, worker));
    if (signal?.aborted) throw new StoppedError("stopped: every run stands on a checkpoint");
  };
}

/** Returns what was wrong, apart from what the run itself told. */
function runTask(
  [command, ...args]: readonly string[],
  share: number,
  signal: AbortSignal | undefined,
  onEvent: OnEvent,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(command!, args, {
      env: { ...process.env, PROBEWARD_THREADS: String(share) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stop = () => child.kill("SIGTERM");
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    createInterface(child.stdout).on("line", (line) => onEvent(JSON.parse(line) as StudyEvent));
    let said = "";
    child.stderr.on("data", (data) => {
      said = `${said}${data}`.slice(-2000);
    });
    child.on("error", reject);
    child.on("close", (_, killed) => {
      signal?.removeEventListener("abort", stop);
      if (killed)
        resolve(`its process was ended by ${killed}; where that was for want of memory, give fewer --jobs`);
      else resolve(said.trim() || undefined);
    });
  });
}

/** How long a sign of life of another machine is waited for, in milliseconds: it beats every five seconds. */
const LOOK = 12_000;

async function activeRuns(folder: string): Promise<ReadonlyMap<string, Activity>> {
  const active = new Map<string, Activity>();
  const study = await holderOf(folder, LOOK);
  if (!study) return active;
  for (const run of expand((await claimed(folder)).settings)) {
    const place = runFolder(folder, run.id, run.seed);
    if ("metrics" in (await readRun(place, run.settings.training.steps))) continue;
    const own = await holderOf(place, LOOK);
    const { host, pid } = own ?? study;
    active.set(runName(run), { state: own ? "running" : "pending", detail: `process ${pid} on ${host}` });
  }
  return active;
}

async function cancel(folder: string): Promise<string[]> {
  const study = await holderOf(folder, LOOK);
  if (!study) return [];
  const { host, pid, here } = study;
  if (!here)
    throw new UsageError(`${folder} is in use by process ${pid} on ${host}: cancel it on that machine.`);
  process.kill(pid, "SIGTERM");
  while (await holderOf(folder, LOOK)) await setTimeout(100);
  return [`process ${pid}`];
}

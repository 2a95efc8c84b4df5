/** @file `probeward status`: how the runs of a study stand. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { type RunStanding, studyStatus } from "../launch/index.ts";
import { launchers } from "./launchers.ts";

const STATES = ["done", "running", "pending", "stopped", "waiting", "failed"] as const;

/** Its arguments and options, and what it does. */
export function statusCommand(command: Command): Command {
  return command
    .argument("<folder>", "folder of the study")
    .option("--json", "print every run, as JSON")
    .action(async (folder: string, { json }: { json?: boolean }) => {
      const runs = await studyStatus(resolve(folder), Object.values(launchers()), (warning) =>
        console.error(`warning: ${warning}`),
      );
      if (json) console.log(JSON.stringify(runs, null, 2));
      else console.log(shown(runs));
    });
}

/** The numbers, then a line for every run that is not just done or in the queue. */
function shown(runs: readonly RunStanding[]): string {
  const count = (state: RunStanding["state"]) => runs.filter((run) => run.state === state).length;
  const counts = STATES.filter((state) => count(state) > 0).map((state) => `${count(state)} ${state}`);
  const lines = runs
    .filter(({ state }) => state === "running" || state === "stopped" || state === "failed")
    .map(
      ({ run, state, step, steps, detail }) =>
        `${state.padEnd(8)} ${run}  step ${step} of ${steps}${detail ? `  ${detail}` : ""}`,
    );
  const left = count("stopped") + count("waiting") + count("failed");
  return [
    `${runs.length} runs: ${counts.join(", ")}`,
    ...lines,
    ...(left > 0 ? ["The study's command resumes what is stopped, waiting or failed."] : []),
  ].join("\n");
}

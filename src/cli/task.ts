/** @file `probeward task`: a part of a study that was launched. Launchers start it; people need not. */

import type { Command } from "commander";
import { StoppedError } from "../errors.ts";
import { finishOnSlurm, stoppable, work } from "../launch/index.ts";
import { prepare, withClaimed, withTrainer } from "../study/index.ts";
import { wholeNumber } from "./arguments.ts";
import { thisProgram } from "./launchers.ts";
import { followInTerminal } from "./progress.ts";

/** Exit status of a task that was told to stop, and is to be started again (EX_TEMPFAIL of sysexits.h). */
const STOPPED = 75;

/** Its arguments and options, and what it does. */
export function taskCommand(task: Command): Command {
  task
    .command("prepare")
    .description("Make what runs start from.")
    .argument("<folder>", "folder of the study")
    .action((folder: string) => {
      const { onEvent } = followInTerminal();
      return withClaimed(folder, onEvent, {}, (work) => prepare(work, onEvent));
    });
  task
    .command("train")
    .description("Train some runs, one after the other.")
    .argument("<folder>", "folder of the study")
    .argument("<runs...>", "as their folders in runs/")
    .action((folder: string, runs: string[]) =>
      untilStopped(async (signal) => {
        const { onEvent } = followInTerminal();
        const failed = await withTrainer(folder, onEvent, signal, (train) => train(runs));
        if (failed > 0) process.exitCode = 1;
      }),
    );
  task
    .command("work")
    .description("Train the runs that the process which starts this one tells it to.")
    .argument("<folder>", "folder of the study")
    .action((folder: string) => untilStopped((signal) => work(folder, signal)));
  task
    .command("finish")
    .description("Go on with what ran out of time, or write summary and report.")
    .argument("<folder>", "folder of the study")
    .argument("<launch>", "number of the submission", wholeNumber(1))
    .action((folder: string, launch: number) =>
      finishOnSlurm(folder, launch, { program: thisProgram() }, followInTerminal().onEvent),
    );
  return task;
}

async function untilStopped(action: (signal: AbortSignal) => Promise<void>): Promise<void> {
  try {
    await stoppable(action);
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error;
    console.error(error.message);
    process.exitCode = STOPPED;
  }
}
